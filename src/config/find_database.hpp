#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/load.hpp"

namespace millrace::config {

/// Which database is meant, and who says so.
struct FoundDatabase {
  /// Those that were asked, with the database as a flag: `load` answers what Millrace would run with there.
  Sources sources;
  std::string origin;                 ///< "DATABASE_URL in .env", "/etc/millrace/millrace.toml:3", "default"
  std::vector<std::string> left_out;  ///< what was said about it and isn't understood, such as "schema" of a URL
};

/// Looks where people keep their database's address, and takes the first of
///
/// 1. `url`; the flag --database-url
/// 2. MILLRACE_DATABASE_URL, DATABASE_URL in the environment
/// 3. DATABASE_URL in the settings file that `load` reads
/// 4. the same names as in 2 in `dotenv_file`, which need not exist
/// 5. PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE, PGSSLROOTCERT in the environment
/// 6. the same in `dotenv_file`
///
/// or else the default. What is empty says nothing. The error names where, and never holds the URL.
Result<FoundDatabase> find_database(const Sources& sources, const std::optional<std::string>& url,
                                    const std::string& dotenv_file = ".env");

}  // namespace millrace::config
