#pragma once

#include <string>
#include <string_view>

namespace millrace::cli {

/// Sends systemd's readiness protocol (sd_notify(3)) to the socket that NOTIFY_SOCKET names: "READY=1" and so on.
/// Without that variable there is nobody to tell, and nothing happens.
void notify(std::string_view state);

/// CLOCK_MONOTONIC in microseconds, which "RELOADING=1" has to come with.
std::string monotonic_usec();

}  // namespace millrace::cli
