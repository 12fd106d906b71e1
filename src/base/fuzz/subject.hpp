#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

namespace millrace::fuzz {

/// What is fed with any bytes, and aborts where a rule is broken.
using Subject = std::function<void(std::span<const std::byte>)>;

/// Each room's fuzz program defines it: the subject of that name, or an empty one.
Subject find_subject(std::string_view name);

}  // namespace millrace::fuzz
