#pragma once

#include <cstddef>
#include <string_view>

namespace millrace::sql {

/// Behind the comment that begins at `at`, which may hold others; npos: it doesn't end.
inline std::size_t skip_comment(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at + 1 < text.size()) {
    if (text[at] == '/' && text[at + 1] == '*') {
      ++depth;
      at += 2;
    } else if (text[at] == '*' && text[at + 1] == '/') {
      at += 2;
      if (--depth == 0) return at;
    } else {
      ++at;
    }
  }
  return std::string_view::npos;
}

}  // namespace millrace::sql
