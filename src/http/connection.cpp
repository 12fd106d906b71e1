#include "http/connection.hpp"

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>

#include "base/log.hpp"
#include "http/failure.hpp"
#include "http/problem.hpp"
#include "http/response_writer.hpp"
#include "net/signal.hpp"

namespace millrace::http {
namespace {

constexpr std::size_t read_size = 8192;

/// A client that gets the last answer may still be sending. Closing at once would make its kernel throw our answer
/// away; so what it sends is read and dropped, until it closes too or for a while.
constexpr std::size_t drain_bytes = std::size_t{4} << 20;
constexpr std::chrono::milliseconds drain_time{2'000};

/// A body that no handler wants is read and dropped, and the connection kept, if no more than this is to come.
constexpr std::uint64_t skipped_bytes = 64 * 1024;

/// While a response is streamed the client may send its next requests. Who sends more of them is cut off: if they were
/// left in the kernel, so would be the client's end.
constexpr std::size_t waiting_bytes = 64 * 1024;

/// A client may take what it is sent faster than we write, or send faster than we read over TLS, so that we never wait:
/// after so many bytes it is the others' turn. A read or write costs more than its bytes.
constexpr std::size_t turn_bytes = 64 * 1024;
constexpr std::size_t call_cost = 512;

struct Access {
  std::string method;
  std::string target;
};

void log_access(const net::Stream& stream, const Access& asked, const Response& response, TimePoint started) {
  if (!log::enabled(log::Level::debug)) return;
  const std::chrono::duration<double, std::milli> took = Clock::now() - started;
  log::debug("http request", {{"peer", stream.peer()},
                              {"method", asked.method},
                              {"target", asked.target},
                              {"status", response.status},
                              {"bytes", response.body.size()},
                              {"ms", took.count()}});
}

/// What throws before its first wait throws here.
asio::awaitable<void> write_body(const Response& response, BodyWriter& body) { co_await response.stream(body); }

}  // namespace

class Connection::RequestBody final : public BodyReader {
 public:
  RequestBody(Connection& connection, bool expects_continue)
      : connection_(connection),
        expects_continue_(expects_continue),
        limit_(connection.options_.limits.message.body_bytes),
        patience_(connection.options_.limits.body_time) {}

  void limit(std::uint64_t bytes) override { limit_ = bytes; }

  asio::awaitable<Result<std::string>> read() override {
    if (answered_) co_return fail("the request's body can't be read after the answer");
    co_return co_await read_part();
  }

  /// From now on the connection is the response's.
  void answered() { answered_ = true; }

  std::uint64_t limit() const { return limit_; }
  bool gone() const { return gone_; }

  /// The answer to a body that can't be read.
  std::optional<Response> failure() const {
    if (late_) return problem(408, "the request took too long to come");
    if (connection_.parser_.state() == RequestParser::State::failed) return connection_.parser_.failure();
    return std::nullopt;
  }

  /// Whether the connection can be kept when nobody reads the body; what of it is there is dropped.
  bool can_be_skipped() {
    while (feed()) connection_.parser_.take_body();
    return whole() || (!expects_continue_ && connection_.parser_.body_left().value_or(~0ULL) <= skipped_bytes);
  }
  bool whole() const { return connection_.parser_.state() == RequestParser::State::complete; }

  asio::awaitable<bool> skip() {
    limit_ = std::max(limit_, skipped_bytes);  // it was found skippable
    while (!whole()) {
      if (!co_await read_part()) co_return false;
    }
    co_return true;
  }

 private:
  asio::awaitable<Result<std::string>> read_part() {
    RequestParser& parser = connection_.parser_;
    if (!std::exchange(began_, true)) parser.limit_body(limit_);
    while (!gone_ && !late_ && parser.state() != RequestParser::State::failed) {
      std::string part = parser.take_body();
      credit(part.size());
      if (!part.empty() || parser.state() == RequestParser::State::complete) co_return part;
      if (!feed() && parser.state() == RequestParser::State::body) co_await receive();
    }
    co_return fail("the request's body can't be read");
  }

  /// Only what is the body's counts, and never for longer than at the beginning: what came fast is no reserve.
  void credit(std::size_t bytes) {
    const auto& limits = connection_.options_.limits;
    patience_ += std::chrono::nanoseconds(std::chrono::seconds(1)) * bytes / limits.body_rate;
    patience_ = std::min<Clock::duration>(patience_, limits.body_time);
  }

  bool feed() {
    const std::size_t used = connection_.parser_.feed(connection_.received_);
    connection_.received_.erase(0, used);
    if (used > 0) expects_continue_ = false;  // the client didn't wait
    return used > 0;
  }

  asio::awaitable<void> receive() {
    if (std::exchange(expects_continue_, false) && !co_await connection_.send(continue_response)) {
      gone_ = true;
      co_return;
    }
    const TimePoint started = Clock::now();
    connection_.deadline_.set(std::chrono::ceil<std::chrono::milliseconds>(patience_));
    const bool read = co_await connection_.read_more();
    late_ = !read && connection_.deadline_.expired();
    gone_ = !read && !late_;
    connection_.deadline_.clear();
    patience_ -= Clock::now() - started;
  }

  Connection& connection_;
  bool expects_continue_;
  std::uint64_t limit_;
  Clock::duration patience_;  ///< for how long we will still wait
  bool began_ = false;
  bool answered_ = false;
  bool gone_ = false;
  bool late_ = false;
};

class Connection::ResponseBody final : public BodyWriter {
 public:
  /// `failed` is set when the client doesn't take a part.
  ResponseBody(Connection& connection, bool chunked, net::Signal& failed)
      : connection_(connection), chunked_(chunked), failed_(failed) {}

  asio::awaitable<bool> write(std::string_view part) override {
    ++parts_;
    if (part.empty() || !taken_) {  // an empty chunk would be the last one
      // Who writes on regardless is cancelled, which others must have their turn for.
      co_await asio::post(connection_.context_, asio::use_awaitable);
      co_return taken_;
    }
    if (chunked_) {
      const std::string chunk = fmt::format("{:x}\r\n{}\r\n", part.size(), part);
      taken_ = co_await connection_.send(chunk);
    } else {
      taken_ = co_await connection_.send(part);
    }
    if (!taken_) failed_.set();
    co_return taken_;
  }

  asio::awaitable<bool> finish() {
    if (taken_ && chunked_) taken_ = co_await connection_.send("0\r\n\r\n");
    co_return taken_;
  }

  std::uint64_t parts() const { return parts_; }
  bool is_taken() const { return taken_; }

 private:
  Connection& connection_;
  bool chunked_;
  net::Signal& failed_;
  bool taken_ = true;
  std::uint64_t parts_ = 0;  ///< that were begun
};

Connection::Connection(asio::io_context& context, net::Stream stream, const ServerOptions& options,
                       const Router& router)
    : context_(context),
      stream_(std::move(stream)),
      options_(options),
      router_(router),
      parser_(options.limits.message.header_bytes),
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
  cancel_stream_.emit(asio::cancellation_type::terminal);
  if (websocket_ != nullptr) websocket_->stop();
}

asio::awaitable<bool> Connection::shake_hands() {
  if (!options_.tls) co_return true;
  deadline_.set(options_.limits.header_time);
  const Result<> done = co_await stream_.start_tls_server(options_.tls);
  if (!done) log::debug("http tls handshake failed", {{"peer", stream_.peer()}, {"reason", done.error().message}});
  co_return done.has_value() && !closing_;
}

asio::awaitable<Connection::Outcome> Connection::serve_one() {
  const RequestParser::State state = co_await receive_head();
  if (state == RequestParser::State::failed) {
    co_await refuse(parser_.failure());
    co_return Outcome::over;
  }
  if (state != RequestParser::State::head) {
    if (state != RequestParser::State::between && deadline_.expired()) {
      co_await refuse(problem(408, "the request took too long to come"));
    }
    co_return Outcome::over;
  }
  deadline_.clear();
  const TimePoint started = Clock::now();
  Request request = parser_.take_head();
  const Access asked{.method = request.method, .target = request.raw_target};
  const bool http_1_0 = request.http_1_0;
  bool keep_alive = request.keep_alive;
  std::optional<Request> upgrade;
  if (!request.header("upgrade").empty()) upgrade = request;
  RequestBody body(*this, request.expects_continue);
  Response response = co_await router_.answer(std::move(request), body);
  body.answered();
  if (body.gone()) co_return Outcome::over;
  if (const auto failure = body.failure()) {
    co_await refuse(*failure);
    co_return Outcome::over;
  }

  if (response.websocket) {
    auto objection = upgrade_objection(upgrade.value_or(Request{}));
    if (!objection && body.whole() && !closing_) {
      log_access(stream_, asked, response, started);
      co_await serve_websocket(*upgrade, response.websocket, body.limit());
      co_return Outcome::over;
    }
    if (!objection && closing_) objection = problem(503, "the server is stopping");
    response = objection ? *std::move(objection) : problem(400, "a request for a WebSocket has no body");
  }

  const bool streamed = response.stream && may_have_body(response) && asked.method != "HEAD";
  keep_alive = keep_alive && !closing_ && body.can_be_skipped() && !(streamed && http_1_0);
  const std::string bytes = serialize(response, keep_alive, asked.method != "HEAD", http_1_0);
  bool sent = co_await send(bytes);
  if (sent && streamed) sent = co_await send_stream(response, http_1_0);
  log_access(stream_, asked, response, started);
  if (!sent) co_return Outcome::over;
  if (!keep_alive) {
    co_await linger();
    co_return Outcome::over;
  }
  if (!co_await body.skip()) co_return Outcome::over;
  parser_.next();
  co_return Outcome::served;
}

/// Reads until a request's header is complete or nothing more can come of it.
asio::awaitable<RequestParser::State> Connection::receive_head() {
  using State = RequestParser::State;
  std::optional<State> last;
  while (true) {
    received_.erase(0, parser_.feed(received_));
    const State state = parser_.state();
    idle_ = state == State::between;
    if (state == State::head || state == State::failed || (idle_ && closing_)) co_return state;
    if (state != last) {
      deadline_.set(state == State::between ? options_.limits.idle_time : options_.limits.header_time);
    }
    last = state;
    if (!co_await read_more()) co_return state;
  }
}

asio::awaitable<bool> Connection::read_more() {
  if (deadline_.expired()) co_return false;
  std::array<std::byte, read_size> buffer;
  boost::system::error_code error;
  const std::size_t count = co_await stream_.read_some(buffer, error);
  is_at_end_ = error == asio::error::eof;
  if (error) co_return false;
  received_.append(reinterpret_cast<const char*>(buffer.data()), count);
  co_await take_turns(count);
  co_return true;
}

asio::awaitable<void> Connection::take_turns(std::size_t bytes) {
  moved_in_turn_ += bytes + call_cost;
  if (moved_in_turn_ < turn_bytes) co_return;
  moved_in_turn_ = 0;
  co_await asio::post(context_, asio::use_awaitable);
}

asio::awaitable<bool> Connection::send(std::string_view bytes) {
  deadline_.set(options_.limits.write_time);
  boost::system::error_code error;
  while (!bytes.empty() && !error) {
    if (deadline_.expired()) co_return false;  // it may have been while the others had their turn
    const std::string_view part = bytes.substr(0, turn_bytes);
    bytes.remove_prefix(part.size());
    co_await stream_.write_all(std::as_bytes(std::span(part)), error);
    co_await take_turns(part.size());
  }
  deadline_.clear();
  co_return !error;
}

/// Runs what writes the body, and meanwhile reads, which is how it is noticed that the client is gone. One that only
/// sends nothing more gets all of it; whether it is still there shows when something is written, so that must go on.
asio::awaitable<bool> Connection::send_stream(const Response& response, bool http_1_0) {
  net::Signal changed(context_);
  ResponseBody body(*this, !http_1_0, changed);
  std::optional<std::exception_ptr> end;
  asio::co_spawn(context_, write_body(response, body),
                 asio::bind_cancellation_slot(cancel_stream_.slot(), [&](std::exception_ptr failure) {
                   end = std::move(failure);
                   changed.set();
                   stream_.cancel();
                 }));
  bool cut = closing_;
  while (!end && !cut && !is_at_end_) {
    cut = (received_.size() >= waiting_bytes || !co_await read_more()) && !end && !is_at_end_;
  }
  while (!end && !cut) {
    const std::uint64_t parts = body.parts();
    co_await changed.wait(options_.limits.write_time);
    cut = !end && (!body.is_taken() || body.parts() == parts);
  }
  if (cut && !end) cancel_stream_.emit(asio::cancellation_type::terminal);
  while (!end) co_await changed.wait(std::chrono::hours(24));
  cut = cut || closing_;
  if (*end != nullptr && !cut) log::error("http stream failed", {{"reason", reason_of(*end)}});
  if (*end != nullptr || cut) co_return false;
  co_return co_await body.finish();
}

asio::awaitable<void> Connection::serve_websocket(const Request& request, const WebSocketHandler& handler,
                                                  std::uint64_t message_bytes) {
  WebSocketSession session(context_, stream_, std::move(received_), options_.limits, message_bytes);
  received_.clear();
  websocket_ = &session;
  co_await session.run(request, handler);
  websocket_ = nullptr;
  if (stream_.is_open()) co_await linger();
}

asio::awaitable<void> Connection::refuse(const Response& response) {
  idle_ = false;
  log::debug("http request refused", {{"peer", stream_.peer()}, {"status", response.status}});
  const std::string bytes = serialize(response, false, true);
  if (co_await send(bytes)) co_await linger();
}

asio::awaitable<void> Connection::linger() {
  stream_.finish_sending();
  deadline_.set(drain_time);
  for (std::size_t drained = 0; drained < drain_bytes && co_await read_more();) {
    drained += received_.size();
    received_.clear();
  }
}

}  // namespace millrace::http
