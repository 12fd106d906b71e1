#pragma once

namespace millrace::cli {

enum ExitCode { succeeded = 0, failed = 1, bad_usage = 2 };

}  // namespace millrace::cli
