#pragma once

#include <string>
#include <string_view>

namespace millrace::sql {

/// A statement's text without what tells one of its template from another: `?` in place of constants, the first of a
/// list of them (behind IN, in VALUES and arrays), one space in place of white space and comments. For people to read,
/// and to show a text without the data in it; not to be run, and not for proving sameness.
///
///     SELECT * FROM t WHERE a IN (1, 2, 3) AND b = 'x' -- mine      ->  SELECT * FROM t WHERE a IN (?, ...) AND b = ?
///
/// Any bytes are allowed; takes time as the text is long. Where it isn't certain what is a constant (a text that was
/// cut off in one; a backslash before a quote, which means something else by standard_conforming_strings) it ends with
/// "...": no constant ever gets through.
std::string normalized(std::string_view text);

}  // namespace millrace::sql
