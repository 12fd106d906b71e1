#pragma once

#include <cstddef>
#include <string_view>

namespace millrace::sql {

inline bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
inline bool goes_on_name(char c) { return begins_name(c) || (c >= '0' && c <= '9') || c == '$'; }

/// Behind the quoted thing that begins at `at`; npos: it doesn't end.
inline std::size_t skip_quoted(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at;; at += 2) {
    at = text.find(quote, at);
    if (at == std::string_view::npos) return std::string_view::npos;
    if (at + 1 == text.size() || text[at + 1] != quote) return at + 1;
  }
}

/// Behind the dollar-quoted string that may begin at `at`; or behind the dollar.
inline std::size_t skip_dollar(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  if (end < text.size() && begins_name(text[end])) {
    while (end < text.size() && goes_on_name(text[end]) && text[end] != '$') ++end;
  }
  if (end == text.size() || text[end] != '$') return at + 1;
  const std::string_view tag = text.substr(at, end + 1 - at);
  const std::size_t close = text.find(tag, end + 1);
  return close == std::string_view::npos ? std::string_view::npos : close + tag.size();
}

}  // namespace millrace::sql
