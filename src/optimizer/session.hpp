#pragma once

#include <string>
#include <vector>

namespace millrace::optimizer {

/// What of a session a statement's meaning depends on, as far as rules ask. The session has no temporary tables, its
/// standard_conforming_strings and backslash_quote are as PostgreSQL has them, and transform_null_equals is off:
/// whoever isn't certain of that must not ask.
struct Session {
  std::vector<std::string> search_path{"public"};  ///< "$user" is replaced
  std::string time_zone;                           ///< as SHOW TimeZone says; "": not known
};

}  // namespace millrace::optimizer
