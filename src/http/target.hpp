#pragma once

#include <optional>
#include <string_view>

#include "http/message.hpp"

namespace millrace::http {

/// Reads "/path?query" (or a whole URL, as proxies send it). Nothing if it is neither or is badly encoded.
///
/// Empty segments at the end are dropped, so "/health/" is "/health".
std::optional<Target> parse_target(std::string_view text);

}  // namespace millrace::http
