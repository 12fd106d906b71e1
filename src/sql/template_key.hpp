#pragma once

#include <span>
#include <string_view>

namespace millrace::sql {

/// Takes the plain numbers and plain quoted strings out of `text` and puts a byte that no SQL holds in the place of
/// each (one for integers, one for other numbers, one for strings). Two texts with one key differ in the values of
/// constants only: PostgreSQL's scanner gives the same tokens for both. Numbers that may be part of a type's name, as
/// in float(24) and int[3], stay.
///
/// Empty if there is no constant, or if the text holds anything that takes more than a glance to lex: comments,
/// backslashes, dollar quotes, prefixed strings (E'', U&'', B'', X'', N''), numbers with exponents or without a digit
/// before the point.
///
/// The key is written to `buffer`, which has room for text.size() bytes.
///
/// A backslash in a string would mean something else where standard_conforming_strings is off; no key is made then.
std::string_view template_key(std::string_view text, std::span<char> buffer);

}  // namespace millrace::sql
