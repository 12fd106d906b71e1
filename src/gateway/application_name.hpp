#pragma once

#include <memory>
#include <string_view>

#include "backend/server_state.hpp"

namespace millrace::gateway {

inline constexpr std::string_view application_name = "application_name";

/// The setting that makes it the application's name, as the start-up packet would. Of no consequence for what a
/// statement does, so clients with other names can share a server connection. Null: SET would make another of it.
std::shared_ptr<const backend::Settings> application_setting(std::string_view application);

}  // namespace millrace::gateway
