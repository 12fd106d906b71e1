#include "cli/analyze.hpp"

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
         line("rows", text_of(root, "/estimated_rows")) + lines("plan", root, "/plan/plan_operations") +
         lines("indexes", root, "/indexes_used") + lines("read whole", root, "/plan/table_scans") +
         lines("issues", root, "/performance_issues") + lines("suggested", root, "/optimization_suggestions") +
         line("cacheable", cache_text(root)) + line("what helps", text_of(root, "/cache/what_helps")) +
         lines("note", root, "/warnings");
}

int analyze(const config::Sources& sources, const GivenQuery& options) {
  const auto loaded = config::load(sources);
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    return bad_usage;
  }
  const RunningMillrace millrace(loaded->settings);
  const auto answer =
      millrace.call({.method = "POST", .path = path, .body = json::serialize(asked_of(options))}, patience);
  if (!answer || answer->status != 200) {
    fmt::print(stderr, "Millrace at {} gives no analysis: {}\n", millrace.address(),
               answer ? reason_of(*answer) : answer.error().message);
    return failed;
  }
  fmt::print("{}{}", options.json ? answer->body : analysis_text(answer->body), options.json ? "\n" : "");
  return succeeded;
}

}  // namespace millrace::cli
