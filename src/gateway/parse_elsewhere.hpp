#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "gateway/core.hpp"

namespace millrace::gateway {

/// The Statement of a text that is too long to be parsed on the core's thread, from the parse pool; the pipeline
/// remembers it, but not every one. `core` must outlive the coroutine.
asio::awaitable<std::shared_ptr<const sql::Statement>> parse_elsewhere(Core& core, std::string text);

}  // namespace millrace::gateway
