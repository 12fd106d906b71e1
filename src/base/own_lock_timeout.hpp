#pragma once

#include <string_view>

namespace millrace {

/// How long Millrace's own statements wait for a lock, as a value of lock_timeout. Two of an application's tables may
/// be locked by one of them in another order than the application's DDL does. Whoever waits longer than
/// deadlock_timeout (1 s) finds the deadlock and is ended by it, and that might be the application: so ours gives up
/// long before, and is tried again.
inline constexpr std::string_view own_lock_timeout = "20ms";

}  // namespace millrace
