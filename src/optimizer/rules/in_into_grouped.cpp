// `FROM (SELECT i.k, sum(i.x) FROM i GROUP BY i.k) g WHERE g.k IN (SELECT ...)`: the condition on i.k, before it
// groups.
//
// k is what g groups by, so IN is TRUE of all rows of a group or of none, and what isn't TRUE goes either way.
// PostgreSQL takes conditions into a sub-query, but not those that hold sub-queries of their own. Nothing in the
// statement may fail, as the groups that go would have shown it.
#include "optimizer/grouped.hpp"
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

/// The key that an IN with a sub-query is of; null: it is none that may move.
const Grouped::Key* key_of(const Site& site, const Grouped& grouped, const Conjunct& conjunct) {
  const auto* level = site.scope().level;
  const Scope scope{.level = level, .begin = conjunct.begin, .end = conjunct.end};
  if (conjunct.node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return nullptr;
  const auto* link = conjunct.node->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || link->n_oper_name != 0) return nullptr;
  const auto* key = grouped.key_of(site.analysis, link->testexpr, scope);
  if (key == nullptr || !has_default_order(key->column)) return nullptr;
  if (!names_only(site, const_cast<Node*>(conjunct.node), scope, level, grouped.source)) {
    site.missed("the sub-query of IN names columns around it");
    return nullptr;
  }
  std::size_t times = 0;
  auto* node = const_cast<Node*>(conjunct.node);
  each_column(site.analysis, &node, scope, site.place.ctes, [&](Node**, const Place&, const Resolved& column) {
    times += column.source == grouped.source ? 1 : 0;
    return true;
  });
  if (times != 1 || !cannot_fail(site.analysis, node, scope, site.place.ctes)) {
    site.missed("the sub-query of IN may fail, or what it is of isn't a table");
    return nullptr;
  }
  return key;
}

bool apply(const Site& site, Select* select) {
  if (!site.analysis.plain_operator("=")) return false;
  for (const auto& grouped : grouped_in(site, select)) {
    if (!grouped.inner) continue;
    for (const auto& conjunct : site.scope().level->conjuncts) {
      const auto* key = key_of(site, grouped, conjunct);
      if (key == nullptr) continue;
      if (!is_sure_in_any_order(site)) return false;
      auto* moved = site.tree.copy(conjunct.node);
      moved->sub_link->testexpr = site.tree.copy(key->node);
      if (!grouped.narrow(site.tree, moved)) continue;
      const Node* const gone[] = {conjunct.node};
      remove_conjuncts(site.tree, select, gone);
      return true;
    }
  }
  return false;
}

}  // namespace

const Rule rules::in_into_grouped{
    .name = "in_into_grouped", .level = 4, .family = Family::pushdown, .by_cost = true, .query = apply};

}  // namespace millrace::optimizer
