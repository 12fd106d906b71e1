#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::http {

/// Writes the text beside the file, until it is on the disk, and then puts it in its place: the file is whole at any
/// time, and nobody else's to read.
Result<> replace_file(const std::string& path, std::string_view text);

}  // namespace millrace::http
