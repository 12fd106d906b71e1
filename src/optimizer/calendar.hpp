#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "optimizer/expression.hpp"

namespace millrace::optimizer {

/// A moment without a time zone; whole seconds.
using Moment = std::chrono::sys_seconds;
using std::chrono::days;

/// `YYYY-MM-DD` of the years 1 to 9999, which means the same whatever DateStyle is. `time`: perhaps followed by a time
/// of day, `HH:MM` or `HH:MM:SS`, and zeros of a second.
std::optional<Moment> read_moment(std::string_view text, bool time);
/// As read_moment reads it: without a time at midnight.
std::string write_moment(Moment moment);
/// Of year, month, day; as far as there is such a day.
std::optional<Moment> moment_of(int year, unsigned month = 1, unsigned day = 1);

/// The literal as a moment, if it is a date, a timestamp, or a string that becomes one.
std::optional<Moment> moment_of(const Constant& constant);

/// How far local time may be from UTC in a session, rounded up: the clocks of a zone with a name are less than a day
/// off, and don't jump further; POSIX's own may say up to 167 hours. Zero: UTC itself.
days zone_margin(std::string_view time_zone);

/// `value >= from AND value < until` for a timestamp or a date; of a timestamptz such a range of local times, widened
/// by the zone's margin on both sides: it holds then wherever the range does, whatever the zone. Either end may be left
/// out. Null: the years leave 1 to 9999.
Node* range_of(Tree& tree, const Node* value, Oid type, std::optional<Moment> from, std::optional<Moment> until,
               days margin);

}  // namespace millrace::optimizer
