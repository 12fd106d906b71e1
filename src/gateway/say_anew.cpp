// What of a statement of the wire is said in another way.
#include <algorithm>

#include "gateway/rewrite_guard.hpp"
#include "gateway/rewrite_prover.hpp"
#include "optimizer/determined.hpp"
#include "optimizer/tree.hpp"
#include "pipeline/cacheability.hpp"
#include "sql/references.hpp"

namespace millrace::gateway {
namespace {

/// The tables that it reads; null: something else, or it isn't certain what.
std::optional<std::vector<catalog::Oid>> tables_of(const sql::References& references, const catalog::Snapshot& catalog,
                                                   std::span<const std::string> path) {
  std::vector<catalog::Oid> tables;
  for (const auto& name : references.reads) {
    const auto* relation = catalog.resolve(name, path);
    const bool is_with = name.schema.empty() && std::ranges::binary_search(references.with, name.name);
    if (relation == nullptr && is_with) continue;
    // It may be either, here or there.
    if (relation == nullptr || is_with) return std::nullopt;
    if (relation->kind != 'r' && relation->kind != 'p') return std::nullopt;
    // The guard looks at a partitioned table's own partitions, and no deeper.
    const auto is_deep = [&](catalog::Oid child) {
      const auto* part = catalog.find(child);
      return part == nullptr || part->kind != 'r';
    };
    if (std::ranges::any_of(relation->children, is_deep)) return std::nullopt;
    tables.push_back(relation->oid);
  }
  std::ranges::sort(tables);
  const auto twice = std::ranges::unique(tables);
  tables.erase(twice.begin(), twice.end());
  return tables;
}

}  // namespace

/// Whoever may not read a table must be told so: so both must read the same ones.
SaidAnew say_anew(const std::string& query, const catalog::Snapshot& catalog, const optimizer::Session& session,
                  const optimizer::Options& options) {
  SaidAnew said;
  const auto refuse = [&said](std::string why) {
    said.refusal = std::move(why);
    return said;
  };
  if (query.contains("/*")) return refuse("it holds comments, by which extensions may plan it");
  const auto before = sql::parse(query);
  const auto judged = pipeline::cacheability(*before, catalog, session.search_path);
  if (!judged()) return refuse("it " + judged.why_not);
  if (sql::mentions_moments(query)) return refuse("it has a constant that may stand for the time, such as 'now'");
  if (auto why = optimizer::undetermined(query, catalog, session); !why.empty()) return refuse(std::move(why));
  auto rewritten = optimizer::rewrite(query, catalog, session, options);
  if (!rewritten) return refuse(rewritten.error().message);
  if (!rewritten->not_rewritten.empty()) return refuse(rewritten->not_rewritten);
  said.out_of_time = rewritten->out_of_time;
  if (rewritten->steps.empty())
    return refuse(said.out_of_time ? "no rule was found to apply to it in time" : "no rule applies to it");
  said.text = rewritten->text;
  for (const auto& step : rewritten->steps) said.rules.push_back(step.rule);
  const auto after = sql::parse(said.text);
  if (!after->references) return refuse("the rewritten text can't be read");
  const auto tables = tables_of(*before->references, catalog, session.search_path);
  if (!tables)
    return refuse(
        "it reads what isn't a table, one whose partitions have partitions, or one of a name that WITH gives");
  if (tables != tables_of(*after->references, catalog, session.search_path)) {
    return refuse("the rewritten text doesn't read all of its tables, so whoever may not read them wouldn't be told");
  }
  auto tree = optimizer::Tree::parse(query);
  if (!tree || (*tree)->select() == nullptr) return refuse("it can't be parsed");
  said.ordered = (*tree)->select()->n_sort_clause > 0;
  said.guard_parameters = guard_parameters(*before->references, *after->references);
  said.lock = lock_sql(*before->references, *after->references);
  return said;
}

}  // namespace millrace::gateway
