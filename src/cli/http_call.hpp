#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "net/stream.hpp"

namespace millrace::cli {

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
};

struct HttpCall {
  std::string method = "GET";
  std::string path;
  std::string body = {};     ///< JSON; "": none
  std::string api_key = {};  ///< "": none
};

/// For a segment of a path, or a query's value.
std::string encoded(std::string_view text);

/// One call on a connection of its own; blocks, for at most `timeout`. With `tls` the certificate isn't checked: it is
/// made for the name that others use, and the only secret is a key that is given to this machine's own Millrace.
Result<HttpAnswer> http_call(const net::Endpoint& endpoint, const HttpCall& call, bool tls,
                             std::chrono::milliseconds timeout);

}  // namespace millrace::cli
