#pragma once

#include <memory>

#include "backend/server_connection.hpp"
#include "base/result.hpp"
#include "config/settings.hpp"

namespace millrace::gateway {

/// Where the settings say that PostgreSQL is, and how it is spoken with; of several hosts the first. `former`: the
/// address before, whose host it keeps if that is among them, and whose breaker if they are the same; null: there was
/// none. Error: the authorities' file can't be used.
Result<std::shared_ptr<const backend::ServerAddress>> server_address(
    const config::Settings& settings, const std::shared_ptr<const backend::ServerAddress>& former = {});

}  // namespace millrace::gateway
