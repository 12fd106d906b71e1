#pragma once

#include <string>

#include "sql/statement.hpp"

namespace millrace::sql {

/// For tests: all that a Statement says but for its fingerprint, in one line. "select", "insert writes",
/// "set; set x {SET x = 1}", "multiple 2 writes, begin, commit".
std::string describe(const Statement& statement);

}  // namespace millrace::sql
