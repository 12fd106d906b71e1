#include "optimizer/windows.hpp"

#include <algorithm>

#include "optimizer/shape.hpp"

namespace millrace::optimizer {

std::optional<RowsBefore> RowsBefore::by(std::span<const Correlation> comparisons) {
  RowsBefore rows;
  for (const auto& each : comparisons) {
    const auto& name = each.inner_column.column->name;
    if (each.outer_column.column->name != name) return std::nullopt;
    if (each.name == "=") {
      rows.alike.push_back(name);
      continue;
    }
    if (!rows.order.empty() || each.name == "<>" || !has_default_order(each.inner_column)) return std::nullopt;
    rows.order = name;
    rows.descends = each.name.front() == '>';
    rows.strict = each.name.size() == 1;
  }
  return rows.order.empty() ? std::nullopt : std::optional(std::move(rows));
}

PgQuery__WindowDef* RowsBefore::window(Tree& tree, std::string_view alias, bool with_frame) const {
  std::string text = "count(*) OVER (";
  for (std::size_t i = 0; i < alike.size(); ++i) text += i == 0 ? "PARTITION BY a" : ", a";
  text += descends ? " ORDER BY a DESC NULLS LAST" : " ORDER BY a";
  // Not strict: up to the peers, which is the frame without saying so.
  if (strict && with_frame) text += " GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING";
  auto* window = tree.expression(text + ")")->func_call->over;
  for (std::size_t i = 0; i < alike.size(); ++i) window->partition_clause[i] = column_of(tree, alias, alike[i]);
  window->order_clause[0]->sort_by->node = column_of(tree, alias, order);
  return window;
}

}  // namespace millrace::optimizer
