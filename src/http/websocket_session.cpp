// The one file that instantiates Beast's WebSocket.
#include "http/websocket_session.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <deque>

#include "base/log.hpp"
#include "http/deadline.hpp"
#include "http/failure.hpp"
#include "http/problem.hpp"
#include "net/signal.hpp"

namespace millrace::http {
namespace {

namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using beast::error_code;

/// How long the client may take to answer a close, and the handler for what came before one.
constexpr std::chrono::seconds close_time{5};

/// A message is read in pieces: memory is taken for what has come, not for what a frame announces.
constexpr std::size_t least_piece = 512;
constexpr std::size_t largest_piece = std::size_t{16} * 1024;

/// A handler that was told so often of the end, and still only sends or receives, doesn't listen.
constexpr int most_times_told = 100;

constexpr std::chrono::hours for_ever{24};

using Upgrade = beast::http::request<beast::http::empty_body>;

Upgrade as_beast(const Request& request) {
  Upgrade upgrade(beast::http::string_to_verb(request.method), request.raw_target, request.http_1_0 ? 10 : 11);
  for (const auto& [name, value] : request.headers) {
    if (name != "expect") upgrade.insert(name, value);  // Beast would refuse it, and there is no body to wait for
  }
  return upgrade;
}

/// A net::Stream as Beast wants it. What is under way ends when the stream is closed, and not before.
class Layer {
 public:
  using executor_type = asio::io_context::executor_type;
  using Done = asio::any_completion_handler<void(error_code, std::size_t)>;

  Layer(asio::io_context& context, net::Stream& stream, std::string received, std::function<void()> on_change)
      : context_(context), stream_(stream), received_(std::move(received)), on_change_(std::move(on_change)) {}

  executor_type get_executor() const { return context_.get_executor(); }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    const asio::mutable_buffer into = first<asio::mutable_buffer>(buffers);
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this, into](auto handler) {
          start(read({static_cast<std::byte*>(into.data()), into.size()}), std::move(handler));
        },
        token);
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    const asio::const_buffer from = first<asio::const_buffer>(buffers);
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this, from](auto handler) {
          start(write({static_cast<const std::byte*>(from.data()), from.size()}), std::move(handler));
        },
        token);
  }

  /// Whether an operation is under way, which uses the stream.
  bool is_busy() const { return operations_ > 0; }
  void close() { stream_.close(); }

  // What Beast calls when time is up.
  friend void beast_close_socket(Layer& layer) {
    layer.close();
    layer.on_change_();
  }

  // What Beast calls after the closing handshake; the connection does the rest.
  template <typename Handler>
  friend void async_teardown(beast::role_type, Layer& layer, Handler&& handler) {
    asio::post(layer.get_executor(), beast::bind_front_handler(std::forward<Handler>(handler), error_code()));
  }

 private:
  struct Got {
    error_code error = {};
    std::size_t bytes = 0;
  };

  template <typename Buffer, typename Buffers>
  static Buffer first(const Buffers& buffers) {
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers); ++at) {
      if (Buffer(*at).size() > 0) return *at;
    }
    return {};
  }

  void start(asio::awaitable<Got> operation, Done done) {
    ++operations_;
    asio::co_spawn(context_, std::move(operation),
                   [this, done = std::move(done)](const std::exception_ptr&, Got got) mutable {
                     --operations_;
                     on_change_();
                     std::move(done)(got.error, got.bytes);
                   });
  }

  asio::awaitable<Got> read(std::span<std::byte> into) {
    Got got;
    if (into.empty()) co_return got;
    if (!received_.empty()) {
      got.bytes = received_.copy(reinterpret_cast<char*>(into.data()), into.size());
      received_.erase(0, got.bytes);
      co_return got;
    }
    got.bytes = co_await stream_.read_some(into, got.error);
    co_return got;
  }

  asio::awaitable<Got> write(net::Bytes bytes) {
    Got got{.error = {}, .bytes = bytes.size()};
    co_await stream_.write_all(bytes, got.error);
    if (got.error) got.bytes = 0;
    co_return got;
  }

  asio::io_context& context_;
  net::Stream& stream_;
  std::string received_;
  std::function<void()> on_change_;  ///< it was closed, or an operation has ended
  int operations_ = 0;
};

}  // namespace

std::optional<Response> upgrade_objection(const Request& request) {
  const Upgrade upgrade = as_beast(request);
  if (!websocket::is_upgrade(upgrade)) {
    return problem(426, "this path speaks WebSocket", {{"Upgrade", "websocket"}});
  }
  if (request.header("sec-websocket-version") != "13") {
    return problem(426, "only version 13 of WebSocket is spoken here",
                   {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}});
  }
  // 16 bytes in base64
  const std::string_view key = request.header("sec-websocket-key");
  if (key.size() != 24 || !key.ends_with("==")) return problem(400, "Sec-WebSocket-Key is malformed");
  return std::nullopt;
}

class WebSocketSession::Session final : public WebSocket {
 public:
  Session(asio::io_context& context, net::Stream& stream, std::string received, const ServerLimits& limits,
          std::uint64_t message_bytes)
      : context_(context),
        limits_(limits),
        socket_(context, stream, std::move(received), [this] { changed_.set(); }),
        changed_(context),
        arrived_(context),
        send_deadline_(context, [&stream] { stream.close(); }),
        close_deadline_(context, [&stream] { stream.close(); }),
        finish_deadline_(context, [this] { finish(); }),
        told_(context, [this] { cancel(); }) {
    // At half of the time without a sign of the client it is pinged.
    socket_.set_option(websocket::stream_base::timeout{
        .handshake_timeout = close_time, .idle_timeout = limits.idle_time, .keep_alive_pings = true});
    socket_.read_message_max(std::max<std::uint64_t>(message_bytes, 1));  // 0 would be no limit
    socket_.auto_fragment(false);
  }

  asio::awaitable<void> run(const Request& request, const WebSocketHandler& handler) {
    error_code error;
    const Upgrade upgrade = as_beast(request);
    if (offered_protocol(request.header("sec-websocket-protocol"),
                         [](std::string_view one) { return one == websocket_protocol; })) {
      socket_.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
        response.set(beast::http::field::sec_websocket_protocol, websocket_protocol);
      }));
    }
    co_await socket_.async_accept(upgrade, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    asio::co_spawn(context_, handle(handler),
                   asio::bind_cancellation_slot(cancel_.slot(), [this](const std::exception_ptr& failure) {
                     ended_ = true;
                     changed_.set();
                     if (!over_) close(failure);
                   }));
    if (stopping_) cancel();
    while (co_await read_one()) {
    }
    over_ = true;
    arrived_.set();
    if (finishing_) finish_deadline_.set(close_time);
    cancel();
    while (!ended_ || closing_) co_await changed_.wait(for_ever);
    finish_deadline_.clear();
    close_deadline_.clear();
    // A ping of Beast's own may be stuck.
    if (socket_.next_layer().is_busy()) socket_.next_layer().close();
    while (socket_.next_layer().is_busy()) co_await changed_.wait(for_ever);
  }

  void stop() {
    if (std::exchange(stopping_, true)) return;
    close_deadline_.set(close_time);
    arrived_.set();
    changed_.set();
    cancel();
  }

  asio::awaitable<std::optional<WebSocketMessage>> receive() override {
    const Call call(*this);
    works_on_message_ = false;
    while (messages_.empty() && !over_ && !stopping_) co_await arrived_.wait(for_ever);
    changed_.set();
    if (messages_.empty()) co_return std::nullopt;
    std::optional<WebSocketMessage> message = std::move(messages_.front());
    messages_.pop_front();
    works_on_message_ = true;
    co_return message;
  }

  asio::awaitable<bool> send_text(std::string_view text) override { return send(text, false); }
  asio::awaitable<bool> send_binary(std::string_view data) override { return send(data, true); }

  void close_with(std::uint16_t code, std::string_view reason) override {
    reason_.code = code;
    std::size_t size = std::min(reason.size(), reason_.reason.max_size());
    // No character is cut in two: the rest of it goes too.
    while (size > 0 && size < reason.size() && (static_cast<unsigned char>(reason[size]) & 0xC0U) == 0x80U) --size;
    reason = reason.substr(0, size);
    reason_.reason.assign(reason.data(), reason.size());
  }

 private:
  /// While the handler is in here it isn't cancelled: it is told. What it waits for afterwards is cancelled.
  class Call {
   public:
    explicit Call(Session& session) : session_(session) { ++session_.calls_; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
      --session_.calls_;
      if (session_.over_ || session_.stopping_) session_.tell();
    }

   private:
    Session& session_;
  };

  /// A handler that throws before its first wait throws here, and not in `run`.
  asio::awaitable<void> handle(const WebSocketHandler& handler) { co_await handler(*this); }

  /// False: the connection is over.
  asio::awaitable<bool> read_one() {
    WebSocketMessage message;
    std::size_t size = 0;
    do {
      message.data.resize(size + std::clamp(size, least_piece, largest_piece));
      error_code error;
      size += co_await socket_.async_read_some(asio::buffer(message.data.data() + size, message.data.size() - size),
                                               asio::redirect_error(asio::use_awaitable, error));
      finishing_ = error == websocket::error::closed;
      if (error) co_return false;
    } while (!socket_.is_message_done());
    message.data.resize(size);
    message.binary = socket_.got_binary();
    while (!messages_.empty() && !ended_ && !stopping_ && socket_.is_open()) co_await changed_.wait(for_ever);
    if (!ended_ && !stopping_) messages_.push_back(std::move(message));
    arrived_.set();
    co_return true;
  }

  asio::awaitable<bool> send(std::string_view data, bool binary) {
    const Call call(*this);
    if (over_ || stopping_) co_return false;
    error_code error;
    socket_.binary(binary);
    send_deadline_.set(limits_.write_time);
    // Half a frame can't be taken back: what cancels the handler doesn't cancel this.
    co_await socket_.async_write(
        asio::buffer(data),
        asio::bind_cancellation_slot(asio::cancellation_slot(), asio::redirect_error(asio::use_awaitable, error)));
    send_deadline_.clear();
    co_return !error;
  }

  /// Cancels what the handler waits for elsewhere, if it is to end.
  void cancel() {
    if (ended_ || calls_ > 0 || (!over_ && !stopping_)) return;
    if (finishing_ && !stopping_ && (works_on_message_ || !messages_.empty())) return;
    cancel_.emit(asio::cancellation_type::terminal);
  }

  /// The handler is told of the end, and then cancelled; at once if it might never wait, so that no timer had its turn.
  void tell() {
    if (++times_told_ < most_times_told) {
      told_.set(std::chrono::milliseconds(0));
    } else {
      finish();
    }
  }

  /// The handler had its time.
  void finish() {
    finishing_ = false;
    cancel();
  }

  void close(const std::exception_ptr& failure) {
    if (stopping_) {
      reason_ = websocket::close_code::going_away;
    } else if (failure != nullptr) {
      reason_ = websocket::close_code::internal_error;
      log::error("websocket handler failed", {{"reason", reason_of(failure)}});
    }
    closing_ = true;
    if (!stopping_) close_deadline_.set(close_time);
    socket_.async_close(reason_, [this](error_code) {
      closing_ = false;
      changed_.set();
    });
  }

  asio::io_context& context_;
  const ServerLimits& limits_;
  websocket::stream<Layer, false> socket_;
  net::Signal changed_;  ///< for `run`: a message was taken, the handler has ended, the closing is done
  net::Signal arrived_;  ///< for `receive`
  Deadline send_deadline_;
  Deadline close_deadline_;
  Deadline finish_deadline_;
  Deadline told_;  ///< at once, but after the handler has gone on
  asio::cancellation_signal cancel_;
  std::deque<WebSocketMessage> messages_;  ///< to be received: one; two if the connection ends before it was
  websocket::close_reason reason_ = websocket::close_code::normal;
  int calls_ = 0;                  ///< of the handler to this
  int times_told_ = 0;             ///< that nothing more comes or goes
  bool over_ = false;              ///< nothing more comes from the client
  bool finishing_ = false;         ///< it has closed, and the handler may finish with what came before
  bool works_on_message_ = false;  ///< the handler does: it has received one, and not asked for the next
  bool ended_ = false;             ///< the handler has
  bool closing_ = false;           ///< a closing handshake is under way
  bool stopping_ = false;          ///< the server is
};

WebSocketSession::WebSocketSession(asio::io_context& context, net::Stream& stream, std::string received,
                                   const ServerLimits& limits, std::uint64_t message_bytes)
    : session_(std::make_unique<Session>(context, stream, std::move(received), limits, message_bytes)) {}
WebSocketSession::~WebSocketSession() = default;

asio::awaitable<void> WebSocketSession::run(const Request& request, const WebSocketHandler& handler) {
  return session_->run(request, handler);
}

void WebSocketSession::stop() { session_->stop(); }

}  // namespace millrace::http
