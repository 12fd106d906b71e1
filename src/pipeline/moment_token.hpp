#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::pipeline {

/// A moment, for a client to carry from one of its sessions to another: `SHOW millrace.token` gives one, and where it
/// is given as `millrace.after`, what was committed at that moment is seen. No secret, and of no use but this.
///
/// Moments are of now_ns(), which mean nothing to another process; so a token names the process that made it.
std::string moment_token(std::int64_t moment);

/// The moment of a token. Of another process's, of one that says a moment to come, and of what isn't one: `now`, by
/// which all that the token could mean has been.
std::int64_t moment_of(std::string_view token, std::int64_t now);

}  // namespace millrace::pipeline
