#include "pipeline/consistency.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace millrace::pipeline {
namespace {

using Level = Consistency::Level;

constexpr std::array<std::string_view, 5> names = {"eventual", "bounded", "session", "read_after_write", "strong"};
constexpr int longest_bound_ms = 86'400'000;

bool is_same(char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; }

bool is_same(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, [](char a, char b) { return is_same(a, b); });
}

}  // namespace

std::string_view name(Level level) { return names.at(static_cast<std::size_t>(level)); }

std::optional<Consistency> Consistency::parse(std::string_view text, std::chrono::milliseconds bound) {
  for (std::size_t at = 0; at < names.size(); ++at) {
    if (is_same(text, names[at])) return Consistency{.level = static_cast<Level>(at), .bound = bound};
  }
  constexpr std::string_view begin = "bounded(";
  if (text.size() <= begin.size() || !is_same(text.substr(0, begin.size()), begin) || !text.ends_with(')')) {
    return std::nullopt;
  }
  const auto digits = text.substr(begin.size(), text.size() - begin.size() - 1);
  int milliseconds = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), milliseconds);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (!whole || milliseconds < 1 || milliseconds > longest_bound_ms) return std::nullopt;
  return Consistency{.level = Level::bounded, .bound = std::chrono::milliseconds(milliseconds)};
}

std::string Consistency::text() const {
  return level == Level::bounded ? fmt::format("bounded({})", bound.count()) : std::string(name(level));
}

namespace {

/// Of sessions that don't ask for more: looking at the catalogs takes far longer than hearing of rows.
constexpr std::int64_t catalogs_lag_ns = 2'000'000'000;

integration::Moments moments(const Consistency& consistency, const SessionTime& time, std::int64_t now) {
  integration::Moments needed;
  switch (consistency.level) {
    case Level::eventual:
      break;
    case Level::bounded:
      needed.rows = needed.catalogs = now - std::chrono::nanoseconds(consistency.bound).count();
      break;
    case Level::session:
      needed = {.rows = time.seen, .catalogs = time.seen - catalogs_lag_ns};
      break;
    case Level::read_after_write:
      needed.rows = std::max(time.seen, time.wrote);
      needed.catalogs = needed.rows - catalogs_lag_ns;
      break;
    case Level::strong:
      needed.rows = needed.catalogs = now;
      break;
  }
  return {.rows = std::max(needed.rows, consistency.after), .catalogs = std::max(needed.catalogs, consistency.after)};
}

/// What others write through Millrace is seen at once, but for who has asked for less.
std::int64_t written(const Consistency& consistency, const SessionTime& time, std::int64_t now) {
  switch (consistency.level) {
    case Level::eventual:
      return time.own;
    case Level::bounded:
      return std::max(time.own, now - std::chrono::nanoseconds(consistency.bound).count());
    default:
      return now;
  }
}

}  // namespace

Needed needed(const Consistency& consistency, const SessionTime& time, std::int64_t now) {
  return {.all = moments(consistency, time, now),
          .written = std::max(written(consistency, time, now), consistency.after)};
}

}  // namespace millrace::pipeline
