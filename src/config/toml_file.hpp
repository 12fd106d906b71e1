#pragma once

#include <string>
#include <vector>

#include "config/setting.hpp"

namespace millrace::config {

/// Reads a TOML file into its top-level names and values, each with its line. An error names the file and the line.
Result<std::vector<Value>> read_toml_file(const std::string& path);

}  // namespace millrace::config
