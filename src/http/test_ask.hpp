#pragma once

#include <boost/asio/co_spawn.hpp>

#include "http/api.hpp"
#include "http/fuzz/sample.hpp"
#include "http/target.hpp"

namespace millrace::http {

/// A PostgreSQL that answers, for Sources::probe_postgresql.
inline asio::awaitable<Result<>> reachable() { co_return Result<>(); }

/// Runs a handler to its end; there is nothing in tests that it could wait for.
inline Response ask(const Router& router, std::string method, const std::string& target, std::string body = {},
                    Headers headers = {{"content-type", "application/json"}}) {
  asio::io_context context;
  Response answer;
  sample::Text text(std::move(body));
  asio::co_spawn(context,
                 router.answer({.method = std::move(method),
                                .raw_target = target,
                                .target = parse_target(target).value(),
                                .headers = std::move(headers)},
                               text),
                 [&answer](std::exception_ptr, Response response) { answer = std::move(response); });
  context.run();
  return answer;
}

}  // namespace millrace::http
