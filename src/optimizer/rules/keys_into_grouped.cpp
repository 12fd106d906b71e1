// `FROM a JOIN (SELECT i.k, sum(i.x) FROM i GROUP BY i.k) g ON g.k = a.k WHERE a.state = 'new'`: in g, before it
// groups, i.k IN (SELECT a.k FROM a WHERE a.state = 'new').
//
// k is what g groups by, so the condition takes whole groups away, and those that it takes meet no row of a that a's
// own conditions leave. A row of a that they don't leave isn't in the result, whether it met a group or not; g may be
// the right side of a LEFT JOIN, too. Conditions that name a alone say the same inside of the IN. Nothing in the
// statement may fail: the groups that go would have shown it.
//
// a is read twice then; where its conditions leave much, that is slower: so it is by cost.
#include <algorithm>

#include "optimizer/grouped.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

struct Meeting {
  const Source* met = nullptr;
  std::vector<Node*> inside = {}, outside = {};
  std::vector<const SourceColumn*> columns = {};
};

/// The tables that a grouped sub-query is joined with, by what it groups by.
std::vector<Meeting> meetings(const Site& site, const Grouped& grouped) {
  std::vector<Meeting> all;
  const auto* level = site.scope().level;
  for (const auto& conjunct : grouped.met) {
    const Scope scope{.level = level, .begin = conjunct.begin, .end = conjunct.end};
    const auto comparison = comparison_of(site.analysis, conjunct.node);
    if (!comparison || comparison->name != "=") continue;
    for (const bool turn : {false, true}) {
      const auto* key = grouped.key_of(site.analysis, turn ? comparison->right : comparison->left, scope);
      auto* other = turn ? comparison->left : comparison->right;
      const auto column = key != nullptr ? site.analysis.column(other, scope) : std::nullopt;
      if (!column || column->level != level || column->source->table == nullptr || column->source->nullable ||
          !groups_alike(key->column, *column))
        continue;
      auto found = std::ranges::find(all, column->source, &Meeting::met);
      if (found == all.end()) found = all.insert(all.end(), {.met = column->source});
      found->inside.push_back(key->node);
      found->outside.push_back(qualified(site.tree, site.analysis, *column, {.level = level}, nullptr));
      found->columns.push_back(column->column);
    }
  }
  return all;
}

/// Conditions of the level that are a table's own; empty: there are none but such of its join columns, which PostgreSQL
/// takes to the other side or `range_into_grouped` does.
std::vector<Node*> own_conditions(const Site& site, const Meeting& meeting) {
  std::vector<Node*> all;
  const auto* level = site.scope().level;
  bool more_than_keys = false;
  for (const auto& conjunct : level->conjuncts) {
    auto* node = const_cast<Node*>(conjunct.node);
    const Scope scope{.level = level, .begin = conjunct.begin, .end = conjunct.end};
    if (!names_only(site, node, scope, level, meeting.met)) continue;
    bool names_it = false, names_keys_only = true;
    each_column(site.analysis, &node, scope, site.place.ctes, [&](Node**, const Place& place, const Resolved& column) {
      if (column.source != meeting.met) return true;
      names_it = true;
      names_keys_only = names_keys_only && place.scope.level == level && column.column != nullptr &&
                        std::ranges::find(meeting.columns, column.column) != meeting.columns.end();
      return true;
    });
    if (!names_it) continue;
    if (!cannot_fail(site.analysis, node, scope, site.place.ctes)) {
      site.missed("a condition on " + meeting.met->alias + " may fail");
      continue;
    }
    more_than_keys = more_than_keys || !names_keys_only || node->node_case == PG_QUERY__NODE__NODE_SUB_LINK;
    all.push_back(node);
  }
  if (!more_than_keys) all.clear();
  return all;
}

Node* row_of(Tree& tree, std::span<Node* const> columns) {
  if (columns.size() == 1) return tree.copy(columns[0]);
  auto* row = tree.expression("(1, 2)");
  row->row_expr->n_args = columns.size();
  row->row_expr->args = tree.nodes(columns);
  return tree.copy(row);
}

bool push(const Site& site, const Grouped& grouped, const Meeting& meeting) {
  auto& tree = site.tree;
  if (std::ranges::find(meeting.outside, nullptr) != meeting.outside.end()) return false;
  const auto conditions = own_conditions(site, meeting);
  if (conditions.empty() || !is_sure_in_any_order(site)) return false;
  auto* in = tree.expression("a IN (SELECT b FROM c)");
  in->sub_link->testexpr = row_of(tree, meeting.inside);
  auto* keys = in->sub_link->subselect->select_stmt;
  const auto* item = keys->target_list[0];
  std::vector<Node*> list;
  for (const auto* column : meeting.outside) {
    list.push_back(tree.copy(item));
    list.back()->res_target->val = tree.copy(column);
  }
  keys->n_target_list = list.size();
  keys->target_list = tree.nodes(list);
  keys->from_clause[0] = tree.copy(meeting.met->node);
  keys->where_clause = tree.copy(and_of(tree, conditions));
  return site.done.emplace(grouped.select, meeting.met->alias).second && grouped.narrow(tree, in);
}

bool apply(const Site& site, Select* select) {
  if (!site.analysis.plain_operator("=")) return false;
  for (const auto& grouped : grouped_in(site, select)) {
    for (const auto& meeting : meetings(site, grouped)) {
      if (push(site, grouped, meeting)) return true;
    }
  }
  return false;
}

}  // namespace

const Rule rules::keys_into_grouped{
    .name = "keys_into_grouped", .level = 4, .family = Family::pushdown, .by_cost = true, .query = apply};

}  // namespace millrace::optimizer
