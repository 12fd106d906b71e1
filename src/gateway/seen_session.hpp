#pragma once

#include <string_view>

namespace millrace::gateway {

/// A query that answers, in one value, all of a session that decides what a read means and how it is answered: whose it
/// is, whether it has temporary objects (which hide others), and its settings but for those that no answer shows.
/// It reads no table, and calls nothing that isn't PostgreSQL's own.
extern const std::string_view session_sql;

/// Whether temporary objects may be there, by an answer to that.
bool may_have_temporary_objects(std::string_view answer);

}  // namespace millrace::gateway
