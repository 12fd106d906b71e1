// A table that is joined by a foreign key to its key, and used for nothing else, is left out.
//
// Each row of the referencing table whose columns aren't NULL has exactly one row there: the key is unique, and the
// foreign key validated, immediate and enforced (its triggers are enabled). Rows with a NULL in them have none: where
// the columns aren't declared NOT NULL, that is what is left of the join. Neither table may be one that others inherit
// from.
#include <algorithm>

#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"

namespace millrace::optimizer {

namespace {

struct Match {
  const Source* from = nullptr;
  std::vector<const Node*> conjuncts = {};
  std::vector<Node*> columns = {};  ///< of the referencing table
};

/// The conjunct that says `from.column = to.key`, and its first side.
const Node* equality(const Site& site, const Source& from, const std::string& column, const Source& to,
                     const std::string& key, Node** side) {
  const auto* level = site.scope().level;
  for (const auto& conjunct : level->conjuncts) {
    const auto comparison = comparison_of(site.analysis, conjunct.node);
    if (!comparison || comparison->name != "=") continue;
    for (const bool turn : {false, true}) {
      auto* mine = turn ? comparison->right : comparison->left;
      const Scope inside{.level = level, .begin = conjunct.begin, .end = conjunct.end};
      const auto a = site.analysis.column(mine, inside);
      const auto b = site.analysis.column(turn ? comparison->left : comparison->right, inside);
      if (!a || !b || a->source != &from || b->source != &to || a->column->name != column || b->column->name != key)
        continue;
      if (a->column->type != b->column->type || a->column->type >= catalog::first_normal_oid) continue;
      if (type::is_text(a->column->type) && !(equal_is_same(*a) && equal_is_same(*b))) continue;
      *side = mine;
      return conjunct.node;
    }
  }
  return nullptr;
}

std::optional<Match> match(const Site& site, const Source& from, const catalog::ForeignKey& key, const Source& to) {
  Match found{.from = &from};
  for (std::size_t i = 0; i < key.columns.size(); ++i) {
    Node* side = nullptr;
    const auto* conjunct = equality(site, from, key.columns[i], to, key.referenced_columns[i], &side);
    if (conjunct == nullptr) return std::nullopt;
    found.conjuncts.push_back(conjunct);
    found.columns.push_back(side);
  }
  return found.conjuncts.empty() ? std::nullopt : std::optional(std::move(found));
}

std::optional<Match> match_to(const Site& site, const Source& to) {
  for (const auto& from : site.scope().level->sources) {
    if (&from == &to || from.table == nullptr) continue;
    for (const auto& key : from.table->foreign_keys) {
      if (key.referenced != to.table->oid) continue;
      if (auto found = match(site, from, key, to)) return found;
    }
  }
  return std::nullopt;
}

bool apply(const Site& site, Select* select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE) return false;
  const auto* level = site.scope().level;
  for (const auto& to : level->sources) {
    if (to.table == nullptr || !to.inner || to.nullable) continue;
    auto found = match_to(site, to);
    if (!found) continue;
    const auto uses = uses_of(site, select);
    if (!uses) {
      site.missed("not every column that the statement names is certain");
      return false;
    }
    const auto count =
        static_cast<std::size_t>(std::ranges::count_if(*uses, [&](const auto& use) { return use.first == &to; }));
    if (count != found->columns.size() || level->merges) continue;
    std::vector<Node*> tests;
    for (auto* column : found->columns) {
      if (!not_null(site.analysis, column, site.scope(), false))
        tests.push_back(site.tree.expression("$1 IS NOT NULL", {column}));
    }
    remove_source(site.tree, select, to.node, found->conjuncts);
    select->where_clause = and_of(site.tree, select->where_clause, and_of(site.tree, tests));
    return true;
  }
  return false;
}

}  // namespace

const Rule rules::foreign_key_join{.name = "foreign_key_join",
                                   .level = 3,
                                   .family = Family::join,
                                   .type = OptimizationType::join_reorder,
                                   .trusts_foreign_keys = true,
                                   .query = apply};

}  // namespace millrace::optimizer
