#pragma once

#include <chrono>
#include <string>

#include "net/stream.hpp"

namespace millrace::cli {

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
};

/// One GET on a connection of its own; blocks, for at most `timeout`. With `tls` the certificate isn't checked: it is
/// made for the name that others use, and nothing secret is sent.
Result<HttpAnswer> http_get(const net::Endpoint& endpoint, const std::string& path, bool tls,
                            std::chrono::milliseconds timeout);

}  // namespace millrace::cli
