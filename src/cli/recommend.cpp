#include "cli/recommend.hpp"

#include <boost/json/parse.hpp>
#include <string_view>

#include "cli/figures.hpp"
#include "cli/one_line.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

/// A text with line ends, in a comment of SQL.
std::string comment(std::string_view text) { return "-- " + in_one_line(text) + "\n"; }

std::string texts(const boost::json::value& from, std::string_view pointer, bool as_comments) {
  boost::system::error_code ignored;
  const auto* found = from.find_pointer(pointer, ignored);
  std::string out;
  if (found == nullptr || !found->is_array()) return out;
  for (const auto& each : found->get_array()) {
    if (!each.is_string()) continue;
    const std::string_view text(each.get_string());
    out += as_comments || !out.empty() ? comment(as_comments ? text : "or: " + std::string(text) + ";")
                                       : std::string(text) + ";\n";
  }
  return out;
}

/// As a file for psql.
std::string recommendations_text(std::string_view body) {
  boost::system::error_code error;
  const auto root = boost::json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  const Figures f(root);
  std::string out = comment(fmt::format(
      "database {}, {} queries of the last {} s; new indexes: {} of {} MB, {} % less work", f.text("/basis/database"),
      f.count("/basis/queries"), f.decimal("/basis/window_seconds", 0), f.decimal("/basis/size_mb", 1),
      f.decimal("/basis/budget_mb", 1), f.decimal("/basis/workload_improvement_percent", 1)));
  const auto* all = f.find("/recommendations");
  if (all == nullptr || !all->is_array() || all->get_array().empty()) out += comment("nothing is to be recommended");
  for (std::size_t i = 0; all != nullptr && all->is_array() && i < all->get_array().size(); ++i) {
    const auto& one = all->get_array()[i];
    out += "\n" + comment(Figures(one).text("/description")) + texts(one, "/sql_changes", false);
  }
  const auto warnings = texts(root, "/warnings", true);
  return out + (warnings.empty() ? "" : "\n" + warnings);
}

}  // namespace

int recommend(const config::Sources& sources, const RecommendOptions& options, bool json) {
  std::string path = "/api/v1/optimization/recommendations";
  char before = '?';
  const auto add = [&](std::string_view name, const std::string& value) {
    if (value.empty()) return;
    path += before;
    path.append(name).append("=").append(encoded(value));
    before = '&';
  };
  add("table_name", options.table);
  add("database", options.database);
  if (options.budget_mb) add("budget_mb", std::to_string(*options.budget_mb));
  return print(ask_running(sources, {.path = path}, "recommendations"), json, recommendations_text);
}

}  // namespace millrace::cli
