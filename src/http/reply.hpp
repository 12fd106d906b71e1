#pragma once

#include <variant>

#include "http/json_write.hpp"
#include "http/message.hpp"

namespace millrace::http {

/// The answer of an operation that has nothing to say but its status.
struct NoContent {};

/// A T with headers beside it, or any other response in its place, such as a problem:
///
///     asio::awaitable<Reply<Job>> start(Body<Plan> plan) {
///       if (busy()) co_return problem(409, "one is under way");
///       co_return Reply<Job>{job, {{"Location", path_of(job)}}};
///     }
template <typename T>
class Reply {
 public:
  Reply(T value, Headers headers = {}) : what_(Value{std::move(value), std::move(headers)}) {}
  Reply(Response other) : what_(std::move(other)) {}

  /// `status` is that of a T.
  friend Response to_response(Reply reply, int status) {
    if (auto* other = std::get_if<Response>(&reply.what_)) return std::move(*other);
    auto& [value, headers] = std::get<Value>(reply.what_);
    Response response{.status = status, .headers = std::move(headers)};
    if constexpr (!std::same_as<T, NoContent>) response.body = to_json(value);
    return response;
  }

 private:
  struct Value {
    T value;
    Headers headers;
  };
  std::variant<Value, Response> what_;
};

}  // namespace millrace::http
