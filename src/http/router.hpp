#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.hpp"

namespace millrace::http {

namespace asio = boost::asio;

/// Answers a request, on the thread of the connection's io_context; must not block it.
using Handler = std::function<asio::awaitable<Response>(Request)>;

/// The names of a path's parameters, in order: "/cache/{level}/entries/{key}" has "level" and "key".
std::vector<std::string> parameter_names(std::string_view path);

/// Finds the handler for a request by its path, then its method. Immutable once it is shared; thread-safe then.
class Router {
 public:
  /// A segment of `path` that is a name in braces stands for any segment that isn't empty. Where a fixed segment fits
  /// too it wins, whatever the methods: with "/jobs/all" and "/jobs/{id}", "/jobs/all" never is an id. Throws
  /// std::logic_error if there is a handler already.
  void add(std::string method, std::string_view path, Handler handler);

  /// HEAD is answered as GET is (who sends it leaves the body out). 404 and 405 in FastAPI's shape; 500 if a handler
  /// throws. The router must outlive the answer.
  asio::awaitable<Response> answer(Request request) const;

 private:
  struct Route {
    std::string path;  ///< as it was added; for logs
    Handler handler;
  };
  using Methods = std::map<std::string, Route, std::less<>>;

  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> fixed;
    std::unique_ptr<Node> parameter;
    Methods methods;
  };

  using Segments = std::span<const std::string>;
  static const Methods* find(const Node& node, Segments rest, std::vector<std::string>& parameters);

  Node root_;
};

}  // namespace millrace::http
