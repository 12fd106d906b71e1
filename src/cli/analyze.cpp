#include "cli/analyze.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "cli/answer_text.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

namespace json = boost::json;

constexpr auto path = "/api/v1/optimization/analyze-query";

std::string cache_text(const json::value& root) {
  if (text_of(root, "/cache/cacheable") == "true") return "yes, for " + text_of(root, "/cache/ttl_seconds") + " s";
  return "no: " + text_of(root, "/cache/why_not");
}

}  // namespace

std::string analysis_text(std::string_view body) {
  boost::system::error_code error;
  const auto root = json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  return line("statement", text_of(root, "/statement_kind")) + lines("tables", root, "/tables_accessed") +
         line("complexity", text_of(root, "/complexity")) + line("cost", text_of(root, "/estimated_cost")) +
         line("rows", text_of(root, "/estimated_rows")) + time_line("takes", root, "") +
         lines("plan", root, "/plan/plan_operations") + lines("indexes", root, "/indexes_used") +
         lines("read whole", root, "/plan/table_scans") + lines("issues", root, "/performance_issues") +
         lines("suggested", root, "/optimization_suggestions") + line("cacheable", cache_text(root)) +
         line("what helps", text_of(root, "/cache/what_helps")) + lines("note", root, "/warnings");
}

int analyze(const config::Sources& sources, const GivenQuery& given) {
  HttpCall call{.method = "POST", .path = path, .body = json::serialize(asked_of(given))};
  return print(ask_running(sources, std::move(call), "analysis"), given.json, analysis_text);
}

}  // namespace millrace::cli
