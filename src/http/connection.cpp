#include "http/connection.hpp"

#include <array>

#include "base/log.hpp"
#include "http/problem.hpp"
#include "http/response_writer.hpp"

namespace millrace::http {
namespace {

constexpr std::size_t read_size = 8192;

/// A refused client may still be sending. Closing at once would make its kernel throw our answer away; so what it sends
/// is read and dropped, until it closes too or for a while.
constexpr std::size_t drain_bytes = std::size_t{4} << 20;
constexpr std::chrono::milliseconds drain_time{2'000};

}  // namespace

Connection::Connection(asio::io_context& context, net::Stream stream, const ServerOptions& options,
                       const Router& router)
    : stream_(std::move(stream)),
      options_(options),
      router_(router),
      parser_(options.limits.message),
      deadline_(context, [this] { stream_.cancel(); }) {}

asio::awaitable<void> Connection::run() {
  if (co_await shake_hands()) {
    while (co_await serve_one() == Outcome::served) {
    }
  }
  deadline_.clear();
  stream_.close();
}

void Connection::close_soon() {
  closing_ = true;
  if (idle_) stream_.close();
}

asio::awaitable<bool> Connection::shake_hands() {
  if (!options_.tls) co_return true;
  deadline_.set(options_.limits.header_time);
  const Result<> done = co_await stream_.start_tls_server(options_.tls);
  if (!done) log::debug("http tls handshake failed", {{"peer", stream_.peer()}, {"reason", done.error().message}});
  co_return done.has_value() && !closing_;
}

asio::awaitable<Connection::Outcome> Connection::serve_one() {
  const RequestParser::State state = co_await receive();
  if (state == RequestParser::State::failed) {
    co_await refuse(parser_.failure());
    co_return Outcome::over;
  }
  if (state != RequestParser::State::complete) {
    if (state != RequestParser::State::between && deadline_.expired()) {
      co_await refuse(problem(408, "the request took too long to come"));
    }
    co_return Outcome::over;
  }
  deadline_.clear();
  const TimePoint started = Clock::now();
  Request request = parser_.take();
  const Request asked{.method = request.method,
                      .raw_target = request.raw_target,
                      .target = {},
                      .content_type = {},
                      .body = {},
                      .keep_alive = request.keep_alive};
  const Response response = co_await router_.answer(std::move(request));
  const bool keep_alive = asked.keep_alive && !closing_;
  const std::string bytes = serialize(response, keep_alive, asked.method != "HEAD");
  const bool sent = co_await send(bytes);
  log_access(asked, response, started);
  co_return sent&& keep_alive ? Outcome::served : Outcome::over;
}

/// Reads until a request is complete or nothing more can come of it.
asio::awaitable<RequestParser::State> Connection::receive() {
  using State = RequestParser::State;
  std::optional<State> last;
  while (true) {
    received_.erase(0, parser_.feed(received_));
    const State state = parser_.state();
    idle_ = state == State::between;
    if (state == State::complete || state == State::failed) co_return state;
    if (parser_.take_wants_continue() && !co_await send(continue_response)) co_return state;
    if (state != last) deadline_.set(time_for(state));
    last = state;
    if (!co_await read_more()) co_return state;
  }
}

std::chrono::milliseconds Connection::time_for(RequestParser::State state) const {
  switch (state) {
    case RequestParser::State::between:
      return options_.limits.idle_time;
    case RequestParser::State::header:
      return options_.limits.header_time;
    default:
      return options_.limits.body_time;
  }
}

asio::awaitable<bool> Connection::read_more() {
  if (deadline_.expired()) co_return false;
  std::array<std::byte, read_size> buffer;
  boost::system::error_code error;
  const std::size_t count = co_await stream_.read_some(buffer, error);
  if (error) co_return false;
  received_.append(reinterpret_cast<const char*>(buffer.data()), count);
  co_return true;
}

asio::awaitable<bool> Connection::send(std::string_view bytes) {
  deadline_.set(options_.limits.write_time);
  boost::system::error_code error;
  co_await stream_.write_all(std::as_bytes(std::span(bytes)), error);
  deadline_.clear();
  co_return !error;
}

asio::awaitable<void> Connection::refuse(Response response) {
  idle_ = false;
  log::debug("http request refused", {{"peer", stream_.peer()}, {"status", response.status}});
  const std::string bytes = serialize(response, false, true);
  if (!co_await send(bytes)) co_return;
  stream_.finish_sending();
  deadline_.set(drain_time);
  for (std::size_t drained = 0; drained < drain_bytes && co_await read_more();) {
    drained += received_.size();
    received_.clear();
  }
}

void Connection::log_access(const Request& request, const Response& response, TimePoint started) const {
  if (!log::enabled(log::Level::debug)) return;
  const std::chrono::duration<double, std::milli> took = Clock::now() - started;
  log::debug("http request", {{"peer", stream_.peer()},
                              {"method", request.method},
                              {"target", request.raw_target},
                              {"status", response.status},
                              {"bytes", response.body.size()},
                              {"ms", took.count()}});
}

}  // namespace millrace::http
