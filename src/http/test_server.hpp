#pragma once

#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "http/problem.hpp"
#include "http/server.hpp"
#include "http/test_client.hpp"

namespace millrace::http {

/// A server on two cores of its own, on a free port.
class TestServer {
 public:
  explicit TestServer(std::shared_ptr<const Router> router, ServerLimits limits = {},
                      std::shared_ptr<const net::TlsContext> tls = {}) {
    std::signal(SIGPIPE, SIG_IGN);  // as the program does: TLS writes to sockets whose other end may be gone
    auto started = Server::start({&contexts_[0], &contexts_[1]},
                                 {.listen = {.host = "127.0.0.1", .port = 0}, .tls = std::move(tls), .limits = limits},
                                 std::move(router));
    if (!started) throw std::runtime_error(started.error().message);
    server_ = std::move(*started);
    for (auto& context : contexts_) threads_.emplace_back([&context] { context.run(); });
  }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  /// Every test ends with this: after stop() nothing may keep a core busy but what is bounded.
  ~TestServer() {
    server_->stop();
    for (auto& guard : guards_) guard.reset();
    for (auto& thread : threads_) thread.join();
  }

  std::uint16_t port() const { return server_->port(); }
  Server& server() { return *server_; }

 private:
  using Guard = asio::executor_work_guard<asio::io_context::executor_type>;
  std::array<asio::io_context, 2> contexts_;
  std::array<Guard, 2> guards_ = {asio::make_work_guard(contexts_[0]), asio::make_work_guard(contexts_[1])};
  std::unique_ptr<Server> server_;
  std::vector<std::thread> threads_;
};

inline std::atomic<int> handlers_ended{0};

/// Counts the end of a handler, however it ends.
struct Ending {
  Ending() = default;
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  ~Ending() { ++handlers_ended; }
};

inline asio::awaitable<void> wait(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

/// An API's authentication: who knows the token x is let in.
inline asio::awaitable<std::expected<Principal, Response>> with_password(const Request& request) {
  if (request.header("authorization") != "Bearer x") co_return std::unexpected(unauthorized("who?", "Bearer"));
  co_return Principal{"x"};
}

/// Waits until it holds, for so long at most.
inline bool within(std::chrono::milliseconds limit, const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Waits until it doesn't grow any more.
template <typename Number>
Number settled(const std::atomic<Number>& value) {
  Number before = value;
  for (int quiet = 0; quiet < 20;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const Number now = value;
    quiet = now == before ? quiet + 1 : 0;
    before = now;
  }
  return before;
}

inline std::string get(std::string_view target, std::string_view more = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: h\r\n{}\r\n", target, more);
}

inline std::string post(std::string_view target, std::string_view body, std::string_view more = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}",
                     target, body.size(), more, body);
}

inline bool has(const TestClient::Answer& answer, std::string_view line) {
  return answer.header.find(std::string(line) + "\r\n") != std::string::npos;
}

inline std::shared_ptr<const net::TlsContext> test_tls() {
  const TestCertificate files;
  auto tls = net::TlsContext::server(files.certificate_file, files.key_file);
  if (!tls) throw std::runtime_error(tls.error().message);
  return *tls;
}

}  // namespace millrace::http
