#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"

namespace millrace::integration {

/// Why changes can't be followed, and the statement that lets them be.
struct Obstacle {
  std::string reason;
  std::optional<std::string> remedy = {};
  bool lost = false;  ///< the server can't be asked
};

/// What a server's refusal, or its silence, means for the change stream.
Obstacle obstacle_of(const Error& error);

}  // namespace millrace::integration
