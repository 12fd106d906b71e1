#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace::executor {

/// The spec's priorities, with its numbers.
enum class Priority : std::uint8_t { low = 1, normal, high, critical, emergency };
inline constexpr std::array<std::string_view, 5> priority_names = {"low", "normal", "high", "critical", "emergency"};

inline std::size_t index_of(Priority priority) { return static_cast<std::size_t>(priority) - 1; }
inline std::string_view name(Priority priority) { return priority_names.at(index_of(priority)); }

/// By its name in any case, or its number. Null: it is neither.
inline std::optional<Priority> parse_priority(std::string_view text) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; };
  for (std::size_t at = 0; at < priority_names.size(); ++at) {
    const bool is_number = text.size() == 1 && text.front() == static_cast<char>('1' + at);
    if (is_number || std::ranges::equal(text, priority_names[at], same)) return static_cast<Priority>(at + 1);
  }
  return std::nullopt;
}

}  // namespace millrace::executor
