// `extract(year FROM t) = 2026`, with `extract(month FROM t) = 3` and `extract(day FROM t) = 31` beside it, and
// date_part(); the year alone also by <, <=, >, >=.
//
// The year of a moment grows with it, and is the same from the year's first day to the next one's; infinite moments
// have infinite years. (There is no year 0, and years BC are negative; literals here are from 1 to 9999.) So a year is
// a range, and so is a month of it. date_part() gives double precision, which holds such numbers exactly. The month's
// condition is left where it is, though nothing but rows of that month is found. For a timestamptz see
// date_cast_to_range.
#include "optimizer/calendar.hpp"
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

struct Part {
  std::string_view comparison;
  Node* value = nullptr;
  int number = 0;
};

/// A part of a moment, compared with a whole number.
std::optional<Part> part_of(const Analysis& analysis, const Node* node, std::string_view which) {
  const auto bound = bound_of(analysis, node);
  if (!bound || bound->constant.type != type::int4 || bound->constant.kind != Constant::Kind::integer)
    return std::nullopt;
  const auto* call = call_of(analysis, bound->value, "extract", 2);
  if (call == nullptr) call = call_of(analysis, bound->value, "date_part", 2);
  const auto part = call != nullptr ? constant_of(analysis, call->args[0]) : std::nullopt;
  if (!part || part->kind != Constant::Kind::string || part->text != which) return std::nullopt;
  return Part{bound->name, call->args[1], static_cast<int>(bound->constant.value)};
}

/// `extract(which FROM value) = number` beside the condition.
std::optional<unsigned> beside(const Site& site, std::string_view which, const Node* value) {
  if (site.place.conjunction == nullptr) return std::nullopt;
  const auto* around = site.place.conjunction->bool_expr;
  for (std::size_t i = 0; i < around->n_args; ++i) {
    const auto part = part_of(site.analysis, around->args[i], which);
    if (part && part->comparison == "=" && same(part->value, value) && part->number > 0 && part->number < 32)
      return static_cast<unsigned>(part->number);
  }
  return std::nullopt;
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto part = part_of(site.analysis, node, "year");
  if (!part) return nullptr;
  const auto column = site.analysis.column(part->value, site.scope());
  const Oid type = column ? column->column->type : 0;
  if (type != type::timestamp && type != type::timestamptz && type != type::date) return nullptr;
  auto from = moment_of(part->number);
  auto until = moment_of(part->number + 1);
  if (!from || !until) return nullptr;
  if (part->comparison == "=") {
    // The month that stands beside it narrows the year.
    if (const auto month = beside(site, "month", part->value); month && *month <= 12) {
      from = moment_of(part->number, *month);
      until = moment_of(part->number + (*month == 12 ? 1 : 0), *month % 12 + 1);
      const auto day = beside(site, "day", part->value);
      if (const auto found = day ? moment_of(part->number, *month, *day) : std::nullopt) {
        from = found;
        until = *found + days(1);
      }
    }
  } else if (part->comparison == ">=") {
    until.reset();
  } else if (part->comparison == ">") {
    from = until;
    until.reset();
  } else if (part->comparison == "<") {
    until = from;
    from.reset();
  } else if (part->comparison == "<=") {
    from.reset();
  } else {
    return nullptr;
  }
  const auto margin = type == type::timestamptz ? zone_margin(site.analysis.session().time_zone) : days(0);
  auto* implied = range_of(site.tree, part->value, type, from, until, margin);
  if (implied == nullptr || margin == days(0)) return implied;
  return site.narrowed(node, implied);
}

}  // namespace

const Rule rules::extract_year_to_range{.name = "extract_year_to_range", .expression = apply};

}  // namespace millrace::optimizer
