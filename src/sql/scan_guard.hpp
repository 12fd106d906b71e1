#pragma once

#include <string_view>

namespace millrace::sql {

/// Whether PostgreSQL's scanner would take far longer for `text` than its length says. A run of operator characters is
/// read as one operator, put back but for its first, and read again: of 8,000 plus signs in a row each one costs what
/// is left of the row, 0.2 s in all. Nested openings of comments do the same. No text that means something holds such
/// runs; those inside of comments and strings count as well, within a bound that long lines of dashes stay below.
bool scans_slowly(std::string_view text);

}  // namespace millrace::sql
