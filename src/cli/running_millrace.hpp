#pragma once

#include "cli/http_call.hpp"
#include "config/load.hpp"

namespace millrace::cli {

/// The Millrace that runs by these settings on this machine, over REST.
class RunningMillrace {
 public:
  explicit RunningMillrace(const config::Settings& settings);

  /// With the key in MILLRACE_API_KEY, if there is one.
  Result<HttpAnswer> call(HttpCall call, std::chrono::milliseconds timeout) const;
  std::string address() const;  ///< for people

 private:
  net::Endpoint endpoint_;
  bool tls_;
};

}  // namespace millrace::cli
