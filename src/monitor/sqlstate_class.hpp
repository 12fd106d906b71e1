#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace millrace {

/// The classes of errors (a SQLSTATE's first two characters) that PostgreSQL's manual lists in appendix A. The last one
/// stands for all that it doesn't: functions may raise any code, and the number of counters must stay bounded.
struct SqlstateClass {
  static constexpr std::array<std::string_view, 44> names = {
      "00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "21",   "22",
      "23", "24", "25", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D",   "3F",
      "40", "42", "44", "53", "54", "55", "57", "58", "72", "F0", "HV", "P0", "XX", "other"};
  static constexpr std::size_t count = names.size();

  static constexpr std::size_t index(std::string_view sqlstate) {
    const auto known_end = names.end() - 1;
    const auto found = std::lower_bound(names.begin(), known_end, sqlstate.substr(0, 2));
    const bool known = found != known_end && *found == sqlstate.substr(0, 2);
    return static_cast<std::size_t>((known ? found : known_end) - names.begin());
  }
};

}  // namespace millrace
