#pragma once

#include <string_view>

/// What is fuzzed: each takes any text, and traps where a rule is broken.
namespace millrace::sql::fuzz {

void parse(std::string_view text);
void memo(std::string_view text);

}  // namespace millrace::sql::fuzz
