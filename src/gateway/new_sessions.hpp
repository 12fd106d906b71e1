#pragma once

#include "gateway/core.hpp"

namespace millrace::gateway {

/// Server connections that are open aren't what new ones of the same user will be: none is given to another client any
/// more, and what clients ask on them is neither kept nor answered from memory. Thread-safe.
void begin_anew(Shared& shared);

}  // namespace millrace::gateway
