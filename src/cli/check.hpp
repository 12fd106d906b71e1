#pragma once

#include "config/load.hpp"

namespace millrace::cli {

/// Reads the files that the settings name (certificates, keys, the user file), so that what can't be used is known
/// before anything depends on it. The error says where the setting was given.
Result<> check_files(const config::Loaded& loaded);

/// `serve --check`: validates everything, and says so. The exit code.
int check(const config::Sources& sources);

}  // namespace millrace::cli
