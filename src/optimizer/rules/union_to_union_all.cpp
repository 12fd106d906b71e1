// UNION of two SELECTs that have no row in common, and no row twice, is UNION ALL.
//
// They have none in common if in one place of their lists stand different literals, or columns that their conditions
// say are equal to different literals; of whole numbers, or of text where equal is the same bytes. No row twice: as in
// distinct_removal, or by DISTINCT.
#include "optimizer/rules/rules.hpp"
#include "optimizer/shape.hpp"
#include "optimizer/sure.hpp"

namespace millrace::optimizer {

namespace {

struct Arm {
  Select* select = nullptr;
  const Level* level = nullptr;
};

/// What stands in that place of every row; of a type in which the same is equal.
std::optional<Constant> always(const Site& site, const Arm& arm, std::size_t place) {
  const auto* value = arm.select->target_list[place]->res_target->val;
  if (auto constant = constant_of(site.analysis, value)) return constant;
  const auto column = site.analysis.column(value, {.level = arm.level});
  if (!column || column->level != arm.level || !equal_is_same(*column)) return std::nullopt;
  for (const auto& conjunct : arm.level->conjuncts) {
    const auto bound = bound_of(site.analysis, conjunct.node);
    if (!bound || bound->name != "=") continue;
    const auto bounded =
        site.analysis.column(bound->value, {.level = arm.level, .begin = conjunct.begin, .end = conjunct.end});
    if (!bounded || bounded->column != column->column) continue;
    auto constant = bound->constant;
    const bool number = type::is_integer(column->column->type) && constant.type == type::int4;
    const bool text = type::is_text(column->column->type) && constant.type == type::unknown;
    if (!number && !text) continue;
    // In a union with a literal, a column of text keeps it text.
    constant.type = number ? type::int4 : type::text;
    return constant;
  }
  return std::nullopt;
}

bool differ(const Constant& a, const Constant& b) {
  if (a.type != b.type || a.kind != b.kind) return false;
  if (a.kind == Constant::Kind::integer && a.type == type::int4) return a.value != b.value;
  return a.kind == Constant::Kind::string && (a.type == type::unknown || a.type == type::text) && a.text != b.text;
}

bool is_set(const Site& site, const Arm& arm) {
  const auto* select = arm.select;
  if (select->n_locking_clause != 0 || select->n_group_clause != 0 || select->having_clause != nullptr ||
      !has_only_scalars(site.analysis, select, {.level = arm.level}))
    return false;
  if (is_plain_distinct(select)) return true;
  if (!is_simple(select)) return false;
  const auto columns = columns_in_list(site.analysis, select, *arm.level);
  std::string missing;
  if (columns && are_unique(site.analysis, *arm.level, *columns, missing)) return true;
  if (!missing.empty()) site.missed(missing);
  return false;
}

bool apply(const Site& site, Select* select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_UNION || select->all || select->with_clause != nullptr ||
      site.place.recursive)
    return false;
  Arm arms[2] = {{select->larg}, {select->rarg}};
  for (auto& arm : arms) {
    if (arm.select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || arm.select->with_clause != nullptr ||
        arm.select->n_target_list == 0 || arm.select->n_values_lists != 0)
      return false;
    arm.level = &site.analysis.level_of(arm.select, site.scope(), site.place.ctes);
  }
  if (arms[0].select->n_target_list != arms[1].select->n_target_list) return false;
  bool apart = false;
  for (std::size_t i = 0; i < arms[0].select->n_target_list; ++i) {
    const auto a = always(site, arms[0], i);
    const auto b = always(site, arms[1], i);
    // Values that differ may be the same as values of the other arm's type.
    const auto type_in = [&](const Arm& arm) {
      return type_of(site.analysis, arm.select->target_list[i]->res_target->val, {.level = arm.level});
    };
    if (type_in(arms[0]) == 0 || type_in(arms[0]) != type_in(arms[1])) return false;
    apart = apart || (a && b && differ(*a, *b));
  }
  if (!apart) return false;
  if (!can_be_distinct(site.analysis, arms[0].select, *arms[0].level) ||
      !can_be_distinct(site.analysis, arms[1].select, *arms[1].level))
    return false;
  if (!is_set(site, arms[0]) || !is_set(site, arms[1])) return false;
  if (select != site.tree.select() && !may_be_joined(site)) return false;
  select->all = true;
  return true;
}

}  // namespace

const Rule rules::union_to_union_all{
    .name = "union_to_union_all", .level = 3, .type = OptimizationType::memory_optimization, .query = apply};

}  // namespace millrace::optimizer
