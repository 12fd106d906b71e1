#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.hpp"

namespace millrace::http {

namespace asio = boost::asio;

/// Answers a request, on the thread of the connection's io_context; must not block it.
using Handler = std::function<asio::awaitable<Response>(Request)>;

/// Finds the handler for a request by its path, then its method. Immutable once it is shared; thread-safe then.
class Router {
 public:
  void add(std::string method, std::string path, Handler handler);

  /// HEAD is answered as GET is (who sends it leaves the body out). 404 and 405 in FastAPI's shape; 500 if a handler
  /// throws. The router must outlive the answer.
  asio::awaitable<Response> answer(Request request) const;

 private:
  using Methods = std::map<std::string, Handler, std::less<>>;
  std::map<std::string, Methods, std::less<>> paths_;
};

}  // namespace millrace::http
