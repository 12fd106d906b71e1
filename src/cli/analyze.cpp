#include "cli/analyze.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "cli/exit_code.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

namespace json = boost::json;

constexpr auto patience = std::chrono::seconds(20);
constexpr auto path = "/api/v1/optimization/analyze-query";

/// "": null, or it isn't there.
std::string text_of(const json::value& root, std::string_view pointer) {
  boost::system::error_code ignored;
  const auto* value = root.find_pointer(pointer, ignored);
  if (value == nullptr || value->is_null()) return {};
  return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

std::string line(std::string_view name, std::string_view value) {
  return value.empty() ? std::string() : fmt::format("{:<12}{}\n", name, value);
}

/// A line each, the first of them with the name.
std::string lines(std::string_view name, const json::value& root, std::string_view pointer) {
  boost::system::error_code ignored;
  const auto* value = root.find_pointer(pointer, ignored);
  const auto* list = value == nullptr ? nullptr : value->if_array();
  std::string out;
  if (list == nullptr) return out;
  for (const auto& one : *list) {
    if (one.is_string()) out += fmt::format("{:<12}{}\n", out.empty() ? name : "", std::string_view(one.get_string()));
  }
  return out;
}

std::string cache_text(const json::value& root) {
  if (text_of(root, "/cache/cacheable") == "true") return "yes, for " + text_of(root, "/cache/ttl_seconds") + " s";
  return "no: " + text_of(root, "/cache/why_not");
}

/// Of a refusal: the first thing that is wrong, or the body.
std::string reason_of(const HttpAnswer& answer) {
  boost::system::error_code error;
  const auto root = json::parse(answer.body, error);
  for (const auto* pointer : {"/detail/0/msg", "/detail"}) {
    if (auto said = error ? std::string() : text_of(root, pointer); !said.empty())
      return fmt::format("{} (HTTP {})", said, answer.status);
  }
  return fmt::format("HTTP {}", answer.status);
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

int analyze(const config::Sources& sources, const AnalyzeOptions& options) {
  const auto loaded = config::load(sources);
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    return bad_usage;
  }
  std::string query = options.query;
  if (query == "-") query.assign(std::istreambuf_iterator<char>(std::cin), {});
  json::object asked{{"query", query}};
  if (!options.database.empty()) asked["database"] = options.database;
  if (!options.user.empty()) asked["user"] = options.user;
  const RunningMillrace millrace(loaded->settings);
  const auto answer = millrace.call({.method = "POST", .path = path, .body = json::serialize(asked)}, patience);
  if (!answer || answer->status != 200) {
    fmt::print(stderr, "Millrace at {} gives no analysis: {}\n", millrace.address(),
               answer ? reason_of(*answer) : answer.error().message);
    return failed;
  }
  fmt::print("{}{}", options.json ? answer->body : analysis_text(answer->body), options.json ? "\n" : "");
  return succeeded;
}

}  // namespace millrace::cli
