#pragma once

#include <optional>

#include "backend/server_state.hpp"

namespace millrace::gateway {

/// The settings in a start-up packet, their names in lower case: `options` holds "-c name=value" and "--name=value", as
/// PostgreSQL splits them (pg_split_opts): at white space, where a backslash takes the next character for itself. Null:
/// it holds something else.
std::optional<backend::ParameterList> settings_of(const backend::ParameterList& startup);

}  // namespace millrace::gateway
