#pragma once

#include <algorithm>
#include <string>
#include <string_view>

/// What comments are made of that say something to programs.
namespace millrace::sql {

inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\n\r\f\v";
  const auto first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(space) + 1 - first);
}

/// Of a URL-encoded text.
inline std::string decoded(std::string_view text) {
  std::string out;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%' && at + 2 < text.size() && digit(text[at + 1]) >= 0 && digit(text[at + 2]) >= 0) {
      out += static_cast<char>(digit(text[at + 1]) * 16 + digit(text[at + 2]));
      at += 2;
    } else {
      out += text[at];
    }
  }
  return out;
}

/// `text` itself, if nothing in it is encoded; or else what is written to `buffer`.
inline std::string_view decoded(std::string_view text, std::string& buffer) {
  if (!text.contains('%')) return text;
  buffer = decoded(text);
  return buffer;
}

/// name=value, name='value', parted by commas. `take_pair(name, value)`.
template <typename Take>
void each_pair(std::string_view list, Take take_pair) {
  while (!list.empty()) {
    const auto equals = list.find('=');
    if (equals == std::string_view::npos) return;
    const auto name = trimmed(list.substr(0, equals));
    list = list.substr(equals + 1);
    const auto first = list.find_first_not_of(" \t\n\r");
    if (first == std::string_view::npos) return;
    list.remove_prefix(first);
    std::size_t end = 0;
    if (list.front() == '\'') {
      end = list.find('\'', 1);
      if (end == std::string_view::npos) return;
      take_pair(name, list.substr(1, end - 1));
      end = std::min(list.find(',', end), list.size());
    } else {
      end = std::min(list.find(','), list.size());
      take_pair(name, trimmed(list.substr(0, end)));
    }
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

}  // namespace millrace::sql
