#include "cli/optimize.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "cli/answer_text.hpp"
#include "cli/exit_code.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

namespace json = boost::json;

constexpr auto patience = std::chrono::seconds(20);
constexpr auto path = "/api/v1/optimization/optimize-query";

std::string rules_not_used(const json::value& root) {
  boost::system::error_code ignored;
  const auto* value = root.find_pointer("/rules_not_used", ignored);
  const auto* rules = value == nullptr ? nullptr : value->if_array();
  std::string out;
  if (rules == nullptr) return out;
  for (const auto& rule : *rules) {
    out += line(out.empty() ? "not used" : "", text_of(rule, "/rule") + ": " + text_of(rule, "/missing"));
  }
  return out;
}

std::string optimization_text(std::string_view body) {
  boost::system::error_code error;
  const auto root = json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  return text_of(root, "/optimized_query") + "\n\n" + lines("rules", root, "/optimization_types") +
         line("cost before", text_of(root, "/estimated_cost_before/total_cost")) +
         line("cost after", text_of(root, "/estimated_cost_after/total_cost")) + rules_not_used(root) +
         lines("note", root, "/warnings");
}

}  // namespace

int optimize(const config::Sources& sources, const GivenQuery& given, int level) {
  const auto loaded = config::load(sources);
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    return bad_usage;
  }
  auto asked = asked_of(given);
  asked["optimization_level"] = level;
  const RunningMillrace millrace(loaded->settings);
  const auto answer = millrace.call({.method = "POST", .path = path, .body = json::serialize(asked)}, patience);
  if (!answer || answer->status != 200) {
    fmt::print(stderr, "Millrace at {} gives no other text: {}\n", millrace.address(),
               answer ? reason_of(*answer) : answer.error().message);
    return failed;
  }
  fmt::print("{}{}", given.json ? answer->body : optimization_text(answer->body), given.json ? "\n" : "");
  return succeeded;
}

}  // namespace millrace::cli
