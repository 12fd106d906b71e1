#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "pgwire/sansio/credentials.hpp"

namespace millrace::pgwire {

/// Reads a user file, in the form of PgBouncer's userlist.txt: a line a user, `"name" "secret"`, where `""` inside
/// quotes stands for a quote. Empty lines and lines that start with ';' or '#' don't count. An error names the line,
/// and never shows a secret.
Result<std::map<std::string, StoredSecret>> parse_user_list(std::string_view text);

}  // namespace millrace::pgwire
