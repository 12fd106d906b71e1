#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "optimizer/what_if.hpp"

namespace millrace::optimizer {

/// An index that is there and should not be, or not as it is.
struct IndexFinding {
  enum class Kind : std::uint8_t { unused, duplicate, invalid };
  Kind kind = Kind::unused;
  std::string schema, table, index;     ///< without quotes
  std::string sentence;                 ///< for people
  std::vector<std::string> statements;  ///< any one of which mends it
  double bytes = 0;                     ///< that are free then
};

/// Invalid ones, which cost and serve nobody; those that another serves as well as: the same keys, or its beginning;
/// and those that nobody has read by since statistics began, although their table was read often. Never one that a
/// constraint, the uniqueness of rows or the replica identity is by. Each index is in one finding at most.
std::vector<IndexFinding> index_findings(const IndexFacts& facts);

}  // namespace millrace::optimizer
