#include "http/router.hpp"

#include "base/log.hpp"
#include "http/problem.hpp"

namespace millrace::http {
namespace {

template <typename Methods>
Response method_not_allowed(const Methods& methods) {
  Response response = problem(405, "Method Not Allowed");
  for (const auto& [method, handler] : methods) {
    response.allow += (response.allow.empty() ? "" : ", ") + method + (method == "GET" ? ", HEAD" : "");
  }
  return response;
}

}  // namespace

void Router::add(std::string method, std::string path, Handler handler) {
  paths_[std::move(path)][std::move(method)] = std::move(handler);
}

asio::awaitable<Response> Router::answer(Request request) const {
  const auto path = paths_.find(request.target.path);
  if (path == paths_.end()) co_return problem(404, "Not Found");
  const auto handler = path->second.find(request.method == "HEAD" ? "GET" : request.method);
  if (handler == path->second.end()) co_return method_not_allowed(path->second);
  const std::string named = request.method + " " + request.target.path;
  try {
    co_return co_await handler->second(std::move(request));
  } catch (const std::exception& error) {
    log::error("http handler failed", {{"request", named}, {"reason", error.what()}});
  }
  co_return problem(500, "Internal Server Error");
}

}  // namespace millrace::http
