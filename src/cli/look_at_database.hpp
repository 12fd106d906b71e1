#pragma once

#include "base/result.hpp"
#include "config/settings.hpp"
#include "integration/guarantees.hpp"

namespace millrace::cli {

/// Logs in to the settings' database and reads what the guarantees depend on there, in a transaction that can't write;
/// opens a replication connection too, where the role may, and closes it. Once in a process. Blocks. Error: the
/// database can't be reached or asked; the message may hold the server's own words.
Result<integration::Seen> look_at_database(const config::Settings& settings);

}  // namespace millrace::cli
