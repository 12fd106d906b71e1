#pragma once

#include <cstddef>

namespace millrace::sql {

/// Bytes of this thread's stack that nobody uses yet.
std::size_t stack_left();

}  // namespace millrace::sql
