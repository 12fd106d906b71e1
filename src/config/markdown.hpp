#pragma once

#include <string>

namespace millrace::config {

/// docs/settings.md, from the table of settings.
std::string settings_markdown();

}  // namespace millrace::config
