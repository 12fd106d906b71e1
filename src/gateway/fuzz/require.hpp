#pragma once

#include <cstdlib>

namespace millrace::gateway::fuzz {

inline void require(bool rule) {
  if (!rule) std::abort();
}

}  // namespace millrace::gateway::fuzz
