#include <algorithm>
#include <array>

#include "sql/references.hpp"

namespace millrace::sql {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// The words as PostgreSQL's input of dates splits them: at whatever isn't a letter.
bool holds_word(std::string_view text) {
  constexpr auto kWords = std::to_array<std::string_view>({"now", "today", "tomorrow", "yesterday"});
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char first = lower(text[i]);
    if ((first != 'n' && first != 't' && first != 'y') || (i > 0 && is_letter(text[i - 1]))) continue;
    for (const std::string_view word : kWords) {
      const auto here = text.substr(i, word.size());
      const bool same = std::ranges::equal(here, word, {}, lower);
      if (same && (i + word.size() == text.size() || !is_letter(text[i + word.size()]))) return true;
    }
  }
  return false;
}

/// Whether behind this quote, which ends a string, the same string goes on.
bool goes_on(std::string_view text, std::size_t quote) {
  bool new_line = false;
  for (std::size_t i = quote + 1; i < text.size(); ++i) {
    if (text.substr(i).starts_with("--")) {
      i = std::min(text.find_first_of("\n\r", i), text.size() - 1);
    }
    const char c = text[i];
    if (c == '\'') return new_line;
    if (c == '\n' || c == '\r') new_line = true;
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\v') return false;
  }
  return false;
}

/// Whether a string may say what its text doesn't show: by escapes, or because it is in parts.
bool hides(std::string_view text) {
  const bool backslash = text.contains('\\');
  for (std::size_t quote = text.find('\''); quote != std::string_view::npos; quote = text.find('\'', quote + 1)) {
    const char before = quote > 0 ? lower(text[quote - 1]) : ' ';
    if (before == '&' || (backslash && before == 'e') || goes_on(text, quote)) return true;
  }
  return false;
}

}  // namespace

bool mentions_moments(std::string_view text) { return holds_word(text) || hides(text); }

}  // namespace millrace::sql
