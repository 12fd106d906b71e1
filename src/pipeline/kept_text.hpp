#pragma once

#include <string>
#include <string_view>

#include "sql/statement.hpp"

namespace millrace::pipeline {

/// Whether a statement of this text may be kept with its constants and parameters. Those of statements that read and
/// write rows are data. Those of others may be passwords: of a role, a subscription, a user mapping, in a text that the
/// parser doesn't know; so may those of a statement that mentions a password, dblink, a function that encrypts, or a
/// program that COPY is to run. `text` may be cut off.
bool constants_may_be_kept(sql::StatementKind kind, std::string_view text);

/// The text as it is kept where they may not: with `?` in place of constants. Of one that neither the parser nor the
/// server took (`failed`) it isn't certain what its words are: nothing is kept.
std::string without_constants(sql::StatementKind kind, std::string_view text, bool failed);

}  // namespace millrace::pipeline
