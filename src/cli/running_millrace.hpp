#pragma once

#include <string>
#include <string_view>

#include "cli/http_call.hpp"
#include "config/load.hpp"

namespace millrace::cli {

struct Answer {
  int exit_code = 0;      ///< of the command; `succeeded`: there is an answer
  std::string body = {};  ///< JSON; empty: it needs no words
};

/// Asks the Millrace that runs by these settings on this machine, over REST, with the key in MILLRACE_API_KEY if there
/// is one. Blocks. Without an answer it has said why on standard error: "Millrace at ... gives no `what`: ...".
Answer ask_running(const config::Sources& sources, HttpCall call, std::string_view what);

/// The answer's body as it came, or as `text` says it for people. The exit code of the command.
template <typename Text>
int print(const Answer& answer, bool as_json, Text text) {
  if (answer.exit_code == 0) fmt::print("{}", as_json ? answer.body + "\n" : text(answer.body));
  return answer.exit_code;
}

}  // namespace millrace::cli
