#pragma once

#include <string>
#include <string_view>

namespace millrace::optimizer {

/// As SQL needs it: in quotes, unless it is plain small letters, digits and underscores and no word of PostgreSQL's.
std::string quoted_identifier(std::string_view name);

/// Of a column as CREATE INDEX has it: without quotes and DESC.
std::string plain_name(std::string_view column);

/// To the length that PostgreSQL keeps of a name (63 bytes), not in the middle of a character.
std::string shortened(std::string name);

}  // namespace millrace::optimizer
