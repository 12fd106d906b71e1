#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "optimizer/tree.hpp"

namespace millrace::optimizer {

/// A statement's parameters, in the order in which PostgreSQL's parser comes to them (transformSelectStmt), as the
/// first place of each decides its type.
struct Parameters {
  std::vector<std::int32_t> numbers;  ///< each as often as it stands there
  /// Of each that stands there more than once, in that order: what its first place is in. "": that doesn't tell.
  std::vector<std::string> firsts;
};
Parameters parameters_of(Select* select);

/// Each that is there more than once has the same first place. What differs in that may be given other types, and in
/// its numbers also other numbers of values by Bind.
bool have_the_same_firsts(const Parameters& a, const Parameters& b);

}  // namespace millrace::optimizer
