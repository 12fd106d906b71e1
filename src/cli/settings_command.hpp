#pragma once

#include "config/load.hpp"

namespace millrace::cli {

/// Prints the settings in effect, each with where it was given. The exit code.
int show_settings(const config::Sources& sources);

}  // namespace millrace::cli
