#pragma once

#include <cstddef>
#include <string_view>

namespace millrace {

/// The length of the well-formed UTF-8 sequence at the start of `text`; 0 if there is none. Not of an empty text.
std::size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace millrace
