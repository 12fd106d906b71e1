#pragma once

#include <optional>
#include <string>

#include "config/load.hpp"

namespace millrace::cli {

/// `millrace check`: says which guarantees the database lets Millrace give, and what mends what is missing; changes
/// nothing there. `url`: as given on the command line. The exit code: failure if something is missing that was asked
/// for, bad_usage if the database can't be reached.
int check_database(const config::Sources& sources, const std::optional<std::string>& url, bool json);

}  // namespace millrace::cli
