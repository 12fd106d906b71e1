// `date_trunc('month', t) = '2026-03-01'`, and <, <=, >, >=.
//
// date_trunc gives the greatest boundary of its unit that isn't later than t. If c is a boundary, then date_trunc(u, t)
// >= c is t >= c, and date_trunc(u, t) > c is t >= c + u; infinite moments stay what they are. A c that is none equals
// nothing. For a timestamptz both stand for local times: a range that is implied in any zone is added, as in
// date_cast_to_range.
#include "optimizer/calendar.hpp"
#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

namespace {

namespace chrono = std::chrono;

/// The boundary after `moment`, if that is one.
std::optional<Moment> boundary_after(std::string_view unit, Moment moment) {
  const auto day = chrono::floor<days>(moment);
  const chrono::year_month_day date(day);
  const auto of_length = [&](auto length) -> std::optional<Moment> {
    return moment == chrono::floor<decltype(length)>(moment) ? std::optional<Moment>(moment + length) : std::nullopt;
  };
  if (unit == "second") return of_length(chrono::seconds(1));
  if (unit == "minute") return of_length(chrono::minutes(1));
  if (unit == "hour") return of_length(chrono::hours(1));
  if (unit == "day") return of_length(days(1));
  if (moment != Moment(day)) return std::nullopt;
  if (unit == "week") return chrono::weekday(day) == chrono::Monday ? std::optional(moment + days(7)) : std::nullopt;
  unsigned months = 0;
  if (unit == "month") months = 1;
  if (unit == "quarter") months = 3;
  if (unit == "year") months = 12;
  if (months == 0 || date.day() != chrono::day(1) || (static_cast<unsigned>(date.month()) - 1) % months != 0)
    return std::nullopt;
  return chrono::sys_days(date + chrono::months(months));
}

Node* apply(const Site& site, Node* node) {
  if (!site.place.truth) return nullptr;
  const auto bound = bound_of(site.analysis, node);
  const auto* call = bound ? call_of(site.analysis, bound->value, "date_trunc", 2) : nullptr;
  if (call == nullptr) return nullptr;
  const auto unit = constant_of(site.analysis, call->args[0]);
  const auto column = site.analysis.column(call->args[1], site.scope());
  if (!unit || unit->kind != Constant::Kind::string || !column) return nullptr;
  const Oid type = column->column->type;
  if (type != type::timestamp && type != type::timestamptz) return nullptr;
  // A date would be another type than the column's, and a zone in the literal another moment.
  if (bound->constant.type != type && bound->constant.type != type::unknown &&
      !(type == type::timestamp && bound->constant.type == type::date))
    return nullptr;
  const auto moment = moment_of(bound->constant);
  if (!moment) return nullptr;
  const auto after = boundary_after(unit->text, *moment);
  if (!after) {
    site.missed("'" + bound->constant.text + "' isn't the beginning of a " + unit->text);
    return nullptr;
  }
  std::optional<Moment> from, until;
  if (bound->name == "=" || bound->name == ">=") from = *moment;
  if (bound->name == ">") from = *after;
  if (bound->name == "=" || bound->name == "<=") until = *after;
  if (bound->name == "<") until = *moment;
  if (!from && !until) return nullptr;
  const auto margin = type == type::timestamptz ? zone_margin(site.analysis.session().time_zone) : days(0);
  // Both ends may be off by the zone's distance, the literal and the column.
  auto* implied = range_of(site.tree, call->args[1], type, from, until, margin * 2);
  if (implied == nullptr || margin == days(0)) return implied;
  return site.narrowed(node, implied);
}

}  // namespace

const Rule rules::date_trunc_to_range{.name = "date_trunc_to_range", .expression = apply};

}  // namespace millrace::optimizer
