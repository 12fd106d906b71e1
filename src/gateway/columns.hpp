#pragma once

#include <cstdint>

#include "pgwire/protocol/frame.hpp"

namespace millrace::gateway {

/// Of a statement that answers no rows.
constexpr std::uint64_t no_columns = 1;

/// Identifies a result's columns by what PostgreSQL compares before it says that a plan's result has changed: names and
/// types. 0: the body of a RowDescription is malformed.
std::uint64_t identify_columns(pgwire::Bytes row_description);

}  // namespace millrace::gateway
