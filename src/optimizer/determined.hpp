#pragma once

#include <string>
#include <string_view>

#include "catalog/snapshot.hpp"
#include "optimizer/session.hpp"

namespace millrace::optimizer {

/// Why the rows that a SELECT gives, or their values, may be others by another plan, though the data is the same: what
/// a LIMIT or DISTINCT ON leaves of rows whose order isn't told whole, what collects values in the order in which they
/// come, sums of floating-point numbers. "": nothing of the kind was found. PostgreSQL may give either, but who has
/// seen the one is surprised by the other. Takes Tree::stack_needed of the text.
std::string undetermined(std::string_view text, const catalog::Snapshot& snapshot, const Session& session);

}  // namespace millrace::optimizer
