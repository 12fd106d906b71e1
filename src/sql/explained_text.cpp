#include "sql/explained_text.hpp"

#include <algorithm>

#include "sql/skip_comment.hpp"

namespace millrace::sql {
namespace {

constexpr std::string_view space = " \t\n\r\f\v";

void skip_space(std::string_view& text) { text.remove_prefix(std::min(text.find_first_not_of(space), text.size())); }

void skip_space_and_comments(std::string_view& text) {
  for (;;) {
    skip_space(text);
    if (text.starts_with("/*")) {
      text.remove_prefix(std::min(skip_comment(text, 0), text.size()));
    } else if (text.starts_with("--")) {
      text.remove_prefix(std::min(text.find_first_of("\n\r"), text.size()));
    } else {
      return;
    }
  }
}

/// `expected`: in small letters.
bool take(std::string_view& text, std::string_view expected) {
  skip_space_and_comments(text);
  const auto same = [](char c, char small) { return (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) == small; };
  if (!std::ranges::equal(text.substr(0, expected.size()), expected, same)) return false;
  text.remove_prefix(expected.size());
  return true;
}

}  // namespace

std::string_view explained_text(std::string_view text) {
  if (!take(text, "explain") || !take(text, "(")) return {};
  if (!take(text, "millrace")) {
    constexpr std::string_view quoted = "\"millrace\"";
    if (!text.starts_with(quoted)) return {};
    text.remove_prefix(quoted.size());
  }
  if (!take(text, ")")) return {};
  skip_space(text);
  return text;
}

}  // namespace millrace::sql
