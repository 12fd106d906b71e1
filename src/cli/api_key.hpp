#pragma once

namespace millrace::cli {

/// Prints a new random key for the REST API, and its hash for the setting API_KEY_HASHES. The exit code.
int api_key();

}  // namespace millrace::cli
