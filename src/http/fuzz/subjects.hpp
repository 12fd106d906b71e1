#pragma once

#include <string_view>

/// What is fuzzed: each takes any bytes, and aborts where a rule is broken.
namespace millrace::http::fuzz {

/// The first byte says how long the pieces are in which the others come.
void request(std::string_view input);
void body(std::string_view input);

}  // namespace millrace::http::fuzz
