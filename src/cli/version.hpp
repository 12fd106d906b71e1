#pragma once

#include <string>
#include <string_view>

namespace millrace::cli {

/// "0.1.0"
std::string_view version();

/// What `millrace version` prints: the version, the commit, the compiler and the libraries.
std::string version_details();

}  // namespace millrace::cli
