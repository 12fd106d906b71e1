#pragma once

#include "config/load.hpp"

namespace millrace::cli {

/// Runs Millrace until a signal ends it: SIGTERM and SIGINT let what runs finish (a second one doesn't), SIGHUP reads
/// the settings again. The exit code.
int serve(const config::Sources& sources);

}  // namespace millrace::cli
