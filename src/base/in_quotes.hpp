#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// As SQL has constants and names, and CSV its fields: between two of these quotes, those within it doubled. A constant
/// with backslashes needs standard_conforming_strings.
inline std::string in_quotes(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) out.append(c == quote ? 2 : 1, c);
  return out += quote;
}

}  // namespace millrace
