#pragma once

#include <string_view>

namespace millrace::pipeline::fuzz {

/// What a client sent in Parse behind the name, up to a line "BIND", and in Bind behind the names.
void rows_read(std::string_view input);
/// A value or an array, in each format.
void value_text(std::string_view input);

}  // namespace millrace::pipeline::fuzz
