#pragma once

#include <string>
#include <string_view>

namespace millrace::pipeline {

/// Why an answer isn't taken from memory, nor kept. `docs/cache.md` has the table of all codes.
struct Refusal {
  std::string code;  ///< for counting; of few values
  std::string why;   ///< for people; of a statement without its subject: "calls now(), which is stable"

  bool operator==(const Refusal&) const = default;
};

/// What whoever wants an answer from memory all the same can do. "": nothing is known that would help.
std::string_view what_helps(std::string_view code);

}  // namespace millrace::pipeline
