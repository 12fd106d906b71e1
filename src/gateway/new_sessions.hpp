#pragma once

#include "catalog/session_defaults.hpp"
#include "gateway/core.hpp"

namespace millrace::gateway {

/// Server connections that are open aren't what new ones will be: none is given to another client any more, and what
/// clients ask on them is neither kept nor answered from memory, where an answer may depend on it. Thread-safe.
void begin_anew(Shared& shared, std::span<const catalog::BeginOtherwise> whose);
/// Whoever's it is, and whatever has changed.
void begin_anew(Shared& shared);

}  // namespace millrace::gateway
