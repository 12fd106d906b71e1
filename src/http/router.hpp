#pragma once

#include <boost/asio/awaitable.hpp>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/body.hpp"
#include "http/message.hpp"

namespace millrace::http {

/// Answers a request, on the thread of the connection's io_context; must not block it. The body outlives the answer.
using Handler = std::function<asio::awaitable<Response>(Request, BodyReader&)>;

/// Says who asks, by a request's method, target and headers, or answers in the handler's place: 401 with
/// WWW-Authenticate (`unauthorized`), 403. Called before anything of the body is read.
using Authenticate = std::function<asio::awaitable<std::expected<Principal, Response>>(const Request&)>;

/// The names of a path's parameters, in order: "/cache/{level}/entries/{key}" has "level" and "key".
std::vector<std::string> parameter_names(std::string_view path);

struct Route {
  Handler handler;
  bool open = false;                             ///< for everybody, with or without a name
  std::optional<std::uint64_t> body_bytes = {};  ///< another limit than the server's
};

/// Finds the handler for a request by its path, then its method. Immutable once it is shared; thread-safe then.
class Router {
 public:
  /// A segment of `path` that is a name in braces stands for any segment that isn't empty. Where a fixed segment fits
  /// too it wins, whatever the methods: with "/jobs/all" and "/jobs/{id}", "/jobs/all" never is an id. Throws
  /// std::logic_error if there is a handler already.
  void add(std::string method, std::string_view path, Route route);

  /// Who isn't let pass reaches only handlers that are open, without a name. Without it all are let pass.
  void authenticate(Authenticate authenticate) { authenticate_ = std::move(authenticate); }

  /// HEAD is answered as GET is (who sends it leaves the body out). 404 and 405 in FastAPI's shape; 500 if a handler
  /// throws. The router must outlive the answer.
  asio::awaitable<Response> answer(Request request, BodyReader& body) const;

 private:
  using Methods = std::map<std::string, Route, std::less<>>;

  struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> fixed;
    std::unique_ptr<Node> parameter;
    std::string path;  ///< as it was added; for logs
    Methods methods;
  };

  using Segments = std::span<const std::string>;
  static const Node* find(const Node& node, Segments rest, std::vector<std::string>& parameters);
  asio::awaitable<Response> answer(const Route& route, Request request, BodyReader& body) const;

  Node root_;
  Authenticate authenticate_;
};

}  // namespace millrace::http
