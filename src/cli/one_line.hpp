#pragma once

#include <string>
#include <string_view>

namespace millrace::cli {

/// A text from a client as one line of UTF-8: whatever would move a terminal's cursor, or command it otherwise, is a
/// space. These are the control characters of ASCII, and those from U+0080 to U+009F, of which U+009B begins a command.
inline std::string in_one_line(std::string_view text) {
  std::string line;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto next = static_cast<unsigned char>(at + 1 < text.size() ? text[at + 1] : '\0');
    const bool is_two_bytes = byte == 0xc2 && next >= 0x80 && next <= 0x9f;
    const bool is_control = byte < ' ' || byte == 0x7f || is_two_bytes;
    if (is_two_bytes) ++at;
    if (!is_control) line += text[at];
    if (is_control && !line.ends_with(' ')) line += ' ';
  }
  return line;
}

}  // namespace millrace::cli
