// `to_char(t, 'YYYY-MM-DD') = '2026-01-31'`; formats of year, month and day in this order, with any separators or none.
//
// A text is only equal to one whose year, month and day are those of the literal, all of fixed width. But to_char
// writes the year 44 BC as 0044, as it does AD 44, and infinite moments as NULL. So the condition stays, and what it
// implies is added: the literal's range, or BC. For a timestamptz see date_cast_to_range.
#include "optimizer/calendar.hpp"
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

/// The date that a text of this format stands for, its missing parts as their first, and the next.
std::optional<std::pair<Moment, Moment>> range_in(std::string_view format, std::string_view text) {
  int number[3] = {0, 1, 1};
  int parts = 0;
  constexpr std::string_view names[] = {"YYYY", "MM", "DD"};
  if (format.size() != text.size()) return std::nullopt;
  while (!format.empty()) {
    if (parts < 3 && format.starts_with(names[parts])) {
      const auto width = names[parts].size();
      int value = 0;
      for (const char c : text.substr(0, width)) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + (c - '0');
      }
      number[parts++] = value;
      format.remove_prefix(width);
      text.remove_prefix(width);
    } else {
      if (!std::string_view("-/._ ").contains(format[0]) || text[0] != format[0]) return std::nullopt;
      format.remove_prefix(1);
      text.remove_prefix(1);
    }
  }
  const auto from = moment_of(number[0], static_cast<unsigned>(number[1]), static_cast<unsigned>(number[2]));
  if (!from || parts == 0) return std::nullopt;
  std::optional<Moment> until;
  if (parts == 1) until = moment_of(number[0] + 1);
  if (parts == 2) until = moment_of(number[0] + (number[1] == 12 ? 1 : 0), static_cast<unsigned>(number[1] % 12 + 1));
  if (parts == 3) until = *from + days(1);
  if (!until) return std::nullopt;
  return std::pair(*from, *until);
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto bound = bound_of(site.analysis, node);
  if (!bound || bound->name != "=" || bound->constant.kind != Constant::Kind::string) return nullptr;
  if (bound->constant.type != type::unknown && bound->constant.type != type::text) return nullptr;
  const auto* call = call_of(site.analysis, bound->value, "to_char", 2);
  if (call == nullptr) return nullptr;
  const auto format = constant_of(site.analysis, call->args[1]);
  const auto column = site.analysis.column(call->args[0], site.scope());
  const Oid type = column ? column->column->type : 0;
  if (!format || format->kind != Constant::Kind::string ||
      (type != type::timestamp && type != type::timestamptz && type != type::date))
    return nullptr;
  auto found = range_in(format->text, bound->constant.text);
  if (!found) return nullptr;
  const auto margin = zone_margin(site.analysis.session().time_zone);
  // A date is made a timestamptz of the session's zone, and written as the day that its midnight is of: a day that a
  // zone leaves out is written as the next.
  if (type == type::date) found = std::pair(found->first - days(2), found->second + days(2));
  auto* range = range_of(site.tree, call->args[0], type, found->first, found->second, margin);
  auto* early = range_of(site.tree, call->args[0], type, std::nullopt, moment_of(1), {});
  if (type == type::timestamptz) early = range_of(site.tree, call->args[0], type, std::nullopt, moment_of(2), {});
  if (range == nullptr || early == nullptr) return nullptr;
  return site.narrowed(node, site.tree.expression("$1 OR $2", {range, early}));
}

}  // namespace

const Rule rules::to_char_to_range{.name = "to_char_to_range", .expression = apply};

}  // namespace millrace::optimizer
