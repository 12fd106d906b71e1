#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace millrace {

/// After how many values a series resembles itself most, by its autocorrelation with outliers cut off; nothing where it
/// has no season. Looks for 4 to a third of the values; takes their number squared over three steps.
std::optional<std::size_t> season_of(std::span<const double> values);

}  // namespace millrace
