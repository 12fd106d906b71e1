#include "optimizer/calendar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace millrace::optimizer {

namespace {

namespace chrono = std::chrono;

/// So many digits; nullopt: it begins with something else.
std::optional<unsigned> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  unsigned value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<chrono::seconds> read_time(std::string_view text) {
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
  unsigned second = 0;
  if (take(text, ':')) {
    const auto read = take_digits(text, 2);
    if (!read || *read > 59) return std::nullopt;
    second = *read;
    if (take(text, '.')) {
      const auto zeros = std::min(text.find_first_not_of('0'), text.size());
      if (zeros == 0) return std::nullopt;
      text.remove_prefix(zeros);
    }
  }
  if (!text.empty()) return std::nullopt;
  return chrono::hours(*hour) + chrono::minutes(*minute) + chrono::seconds(second);
}

bool in_years(Moment moment) { return moment >= *moment_of(1) && moment < *moment_of(9999, 12, 31); }

}  // namespace

std::optional<Moment> moment_of(int year, unsigned month, unsigned day) {
  const chrono::year_month_day date{chrono::year(year), chrono::month(month), chrono::day(day)};
  if (year < 1 || year > 9999 || !date.ok()) return std::nullopt;
  return chrono::sys_days(date);
}

std::optional<Moment> read_moment(std::string_view text, bool time) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const auto date = moment_of(static_cast<int>(*year), *month, *day);
  if (!date || text.empty()) return date;
  if (!time || (!take(text, ' ') && !take(text, 'T'))) return std::nullopt;
  const auto of_day = read_time(text);
  return of_day ? std::optional(*date + *of_day) : std::nullopt;
}

std::string write_moment(Moment moment) {
  const auto day = chrono::floor<chrono::days>(moment);
  const chrono::year_month_day date(day);
  auto text = fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                          static_cast<unsigned>(date.day()));
  if (moment != Moment(day)) {
    const chrono::hh_mm_ss time(moment - Moment(day));
    text += fmt::format(" {:02}:{:02}:{:02}", time.hours().count(), time.minutes().count(), time.seconds().count());
  }
  return text;
}

std::optional<Moment> moment_of(const Constant& constant) {
  if (constant.kind != Constant::Kind::string) return std::nullopt;
  if (constant.type == type::date) return read_moment(constant.text, false);
  if (constant.type == type::timestamp || constant.type == type::timestamptz || constant.type == type::unknown)
    return read_moment(constant.text, true);
  return std::nullopt;
}

days zone_margin(std::string_view time_zone) {
  if (time_zone == "UTC" || time_zone == "Etc/UTC" || time_zone == "GMT") return days(0);
  const auto slash = time_zone.find('/');
  const auto is_letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '/';
  };
  if (slash != std::string_view::npos && slash > 2 && std::ranges::all_of(time_zone, is_letter)) return days(2);
  return days(15);
}

Node* range_of(Tree& tree, const Node* value, Oid type, std::optional<Moment> from, std::optional<Moment> until,
               days margin) {
  const bool zoned = type == type::timestamptz;
  if (zoned && from) *from -= margin;
  if (zoned && until) *until += margin;
  if ((from && !in_years(*from)) || (until && !in_years(*until))) return nullptr;
  const auto literal = [&](Moment moment) {
    if (type == type::date) return fmt::format("'{}'::pg_catalog.date", write_moment(moment));
    if (zoned) return fmt::format("'{}+00'::timestamp with time zone", write_moment(moment));
    return fmt::format("'{}'::timestamp", write_moment(moment));
  };
  if (from && until)
    return tree.expression(fmt::format("$1 >= {} AND $1 < {}", literal(*from), literal(*until)), {value});
  if (from) return tree.expression(fmt::format("$1 >= {}", literal(*from)), {value});
  return tree.expression(fmt::format("$1 < {}", literal(*until)), {value});
}

}  // namespace millrace::optimizer
