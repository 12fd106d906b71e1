#include "cli/optimize.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "cli/answer_text.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

namespace json = boost::json;

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
  return text_of(root, "/optimized_query") + "\n\n" + lines("rules", root, "/rules") +
         line("cost before", text_of(root, "/estimated_cost_before/total_cost")) +
         line("cost after", text_of(root, "/estimated_cost_after/total_cost")) +
         time_line("takes", root, "/estimated_cost_before") + time_line("then takes", root, "/estimated_cost_after") +
         rules_not_used(root) + lines("note", root, "/warnings");
}

}  // namespace

int optimize(const config::Sources& sources, const GivenQuery& given, int level) {
  auto asked = asked_of(given);
  asked["optimization_level"] = level;
  HttpCall call{.method = "POST", .path = path, .body = json::serialize(asked)};
  return print(ask_running(sources, std::move(call), "other text"), given.json, optimization_text);
}

}  // namespace millrace::cli
