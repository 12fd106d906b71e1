#pragma once

#include <string>
#include <vector>

namespace millrace::cache::bench {

/// Each prints one JSON object; arguments are the command's own.
int l1(const std::vector<std::string>& arguments);
int miss_ratio(const std::vector<std::string>& arguments);

}  // namespace millrace::cache::bench
