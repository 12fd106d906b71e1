#pragma once

#include <cstdint>
#include <vector>

#include "optimizer/tree.hpp"

namespace millrace::optimizer {

/// The numbers of a statement's parameters, each as often as it stands there, in the order in which PostgreSQL's parser
/// comes to them (transformSelectStmt), as the first place decides the type. Statements that differ in them may be
/// given other types, or other numbers of values by Bind.
std::vector<std::int32_t> parameters_of(Select* select);

}  // namespace millrace::optimizer
