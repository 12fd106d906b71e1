#include "http/router.hpp"

#include <stdexcept>

#include "base/log.hpp"
#include "http/failure.hpp"
#include "http/problem.hpp"

namespace millrace::http {
namespace {

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  while (path.size() > 1) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    segments.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

bool is_parameter(std::string_view segment) { return segment.starts_with('{') && segment.ends_with('}'); }

template <typename Methods>
Response method_not_allowed(const Methods& methods) {
  std::string allow;
  for (const auto& [method, route] : methods) {
    allow += (allow.empty() ? "" : ", ") + method + (method == "GET" ? ", HEAD" : "");
  }
  return problem(405, "Method Not Allowed", {{"Allow", allow}});
}

}  // namespace

std::vector<std::string> parameter_names(std::string_view path) {
  std::vector<std::string> names;
  for (const std::string_view segment : split(path)) {
    if (is_parameter(segment)) names.emplace_back(segment.substr(1, segment.size() - 2));
  }
  return names;
}

void Router::add(std::string method, std::string_view path, Route route) {
  Node* node = &root_;
  for (const std::string_view segment : split(path)) {
    auto& next = is_parameter(segment) ? node->parameter : node->fixed[std::string(segment)];
    if (!next) next = std::make_unique<Node>();
    node = next.get();
  }
  node->path = path;
  const auto [place, is_new] = node->methods.try_emplace(method, std::move(route));
  if (!is_new) throw std::logic_error(fmt::format("two handlers for {} {}", method, path));
}

const Router::Node* Router::find(const Node& node, Segments rest, std::vector<std::string>& parameters) {
  if (rest.empty()) return node.methods.empty() ? nullptr : &node;
  const std::string& segment = rest.front();
  if (const auto fixed = node.fixed.find(segment); fixed != node.fixed.end()) {
    if (const Node* found = find(*fixed->second, rest.subspan(1), parameters)) return found;
  }
  if (!node.parameter || segment.empty()) return nullptr;
  parameters.push_back(segment);
  if (const Node* found = find(*node.parameter, rest.subspan(1), parameters)) return found;
  parameters.pop_back();
  return nullptr;
}

asio::awaitable<Response> Router::answer(Request request, BodyReader& body) const {
  const Node* node = find(root_, request.target.segments, request.path_parameters);
  if (node == nullptr) co_return problem(404, "Not Found");
  const auto route = node->methods.find(request.method == "HEAD" ? "GET" : request.method);
  if (route == node->methods.end()) co_return method_not_allowed(node->methods);
  try {
    co_return co_await answer(route->second, std::move(request), body);
  } catch (...) {
    log::error("http handler failed",
               {{"request", route->first + " " + node->path}, {"reason", reason_of(std::current_exception())}});
  }
  co_return problem(500, "Internal Server Error");
}

asio::awaitable<Response> Router::answer(const Route& route, Request request, BodyReader& body) const {
  if (authenticate_) {
    auto principal = co_await authenticate_(request);
    if (principal) {
      request.principal = *std::move(principal);
    } else if (!route.open) {
      co_return std::move(principal).error();
    }
  }
  if (route.body_bytes) body.limit(*route.body_bytes);
  co_return co_await route.handler(std::move(request), body);
}

}  // namespace millrace::http
