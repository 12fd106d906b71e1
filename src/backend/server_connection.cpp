#include "backend/server_connection.hpp"

#include <boost/asio/thread_pool.hpp>

#include "base/log.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"

namespace millrace::backend {
namespace {

using boost::system::error_code;
using std::chrono::milliseconds;

constexpr std::size_t buffer_size = 64 * 1024;
/// An answer that Millrace reads itself, such as an error or a parameter, is never larger; a server that claims so is
/// broken.
constexpr std::size_t max_own_message = 1024 * 1024;
/// Between looks at whether the server that is to answer can still be reached.
constexpr std::chrono::seconds between_looks(1);

net::Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

LoginError broken(std::string message) { return {Error{.message = std::move(message), .sqlstate = "08006"}, {}}; }

/// It starts, or shuts down.
bool is_not_ready(std::string_view sqlstate) {
  return sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03";
}

/// A log-in with a plain password takes milliseconds of CPU, which aren't an I/O thread's.
asio::thread_pool& slow_logins() {
  static asio::thread_pool pool(1);
  return pool;
}

asio::awaitable<void> take_step(pgwire::ServerLogin* machine, char type, pgwire::Bytes body,
                                pgwire::ServerLogin::Step* step) {
  *step = machine->on_message(type, body);
  co_return;
}

/// Closes a stream if a step takes too long; harmless when it is done before.
class Deadline {
 public:
  Deadline(asio::io_context& context, net::Stream& stream, milliseconds limit)
      : state_(std::make_shared<State>(State{asio::steady_timer(context, limit), &stream})) {
    state_->timer.async_wait([state = state_](error_code error) {
      if (!error && state->stream != nullptr) state->stream->close();
    });
  }
  ~Deadline() {
    state_->stream = nullptr;
    state_->timer.cancel();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  struct State {
    asio::steady_timer timer;
    net::Stream* stream;
  };
  std::shared_ptr<State> state_;
};

/// A log-in to a database that is locked, by ALTER DATABASE say, waits without a word. Whether it has TLS the server
/// says whatever database it is about.
asio::awaitable<bool> says_anything(asio::io_context& context, std::shared_ptr<const ServerAddress> address) {
  const auto limit = std::min(milliseconds(5000), address->connect_timeout);
  auto stream = co_await net::connect(context, address->endpoint, limit);
  if (!stream) co_return false;
  const Deadline deadline(context, *stream, limit);
  error_code error;
  std::string ask;
  pgwire::append_ssl_request(ask);
  co_await stream->write_all(as_bytes(ask), error);
  std::array<std::byte, 1> answer{};
  if (!error) co_await stream->read_some(answer, error);
  co_return !error;
}

}  // namespace

std::shared_ptr<const ParameterList> with_parameter(const std::shared_ptr<const ParameterList>& list,
                                                    std::string_view name, std::string_view value) {
  if (list) {
    for (const auto& [known, current] : *list) {
      if (known == name && current == value) return list;
    }
  }
  auto changed = list ? std::make_shared<ParameterList>(*list) : std::make_shared<ParameterList>();
  for (auto& [known, current] : *changed) {
    if (known == name) {
      current = value;
      return changed;
    }
  }
  changed->emplace_back(name, value);
  return changed;
}

PlaceholderNames with_placeholder(const PlaceholderNames& names, std::string_view name) {
  auto changed =
      names ? std::make_shared<std::vector<std::string>>(*names) : std::make_shared<std::vector<std::string>>();
  const auto at = std::ranges::lower_bound(*changed, name);
  if (at != changed->end() && *at == name) return names;
  changed->emplace(at, name);
  return changed;
}

/// Collects the answer to a query of our own.
class ServerConnection::InternalQuery final : public Sink {
 public:
  /// `hear`: null: rows are collected.
  explicit InternalQuery(ServerConnection& connection, Hear hear = {})
      : connection_(connection), hear_(std::move(hear)), done_(*connection.context_) {}

  std::size_t on_server_bytes(std::span<std::byte> bytes) override {
    std::size_t at = 0;
    while (bytes.size() - at >= pgwire::header_size) {
      const auto header = pgwire::load_header(bytes.subspan(at));
      if (!header.valid() || header.total() > max_own_message) {
        connection_.close();
        return bytes.size();
      }
      if (bytes.size() - at < header.total()) break;
      if (header.type == pgwire::backend::notification_response) {
        notifications_.insert(notifications_.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                              bytes.begin() + static_cast<std::ptrdiff_t>(at + header.total()));
      }
      on_message(header.type, bytes.subspan(at + pgwire::header_size, header.length - 4));
      at += header.total();
    }
    return at;
  }
  bool writable() const override { return true; }
  asio::awaitable<void> drained() override { co_return; }
  void on_server_gone() override {
    if (!finished_ && !error_) error_ = Error{.message = "the server closed the connection", .sqlstate = "08006"};
    done_.set();
  }

  asio::awaitable<Result<>> answer(milliseconds timeout) {
    const auto until = Clock::now() + timeout;
    while (!co_await done_.wait(std::min<Clock::duration>(until - Clock::now(), between_looks))) {
      if (Clock::now() >= until) co_return fail("the server did not answer in time", "08006");
      if (connection_.address_->breaker && connection_.address_->breaker->refuses())
        co_return fail("the server can't be reached", "08006");
    }
    if (error_) co_return std::unexpected(*error_);
    co_return Result<>{};
  }
  std::vector<Row> take_rows() { return std::move(rows_); }
  bool half_sent() const override { return !sent_; }
  void sent() { sent_ = true; }
  bool finished() const { return finished_; }
  /// Whole messages: meanwhile somebody else's notifications may come, for whoever holds the connection otherwise.
  std::span<std::byte> notifications() { return notifications_; }

 private:
  void on_message(char type, pgwire::Bytes body) {
    if (hear_) hear_(type, body);
    switch (type) {
      case pgwire::backend::data_row:
        if (hear_) break;
        if (const auto values = pgwire::decode_data_row(body)) {
          Row row;
          for (const auto& value : *values) {
            if (value) {
              row.emplace_back(std::string(reinterpret_cast<const char*>(value->data()), value->size()));
            } else {
              row.emplace_back(std::nullopt);
            }
          }
          rows_.push_back(std::move(row));
        }
        break;
      case pgwire::backend::error_response:
        if (const auto notice = pgwire::decode_notice(body); notice && !error_) {
          error_ = Error{.message = std::string(notice->message()), .sqlstate = std::string(notice->sqlstate())};
        }
        break;
      case pgwire::backend::parameter_status:
        if (const auto status = pgwire::decode_parameter_status(body)) {
          connection_.state_.parameters = with_parameter(connection_.state_.parameters, status->name, status->value);
        }
        break;
      case pgwire::backend::ready_for_query:
        if (const auto status = pgwire::decode_ready_for_query(body)) connection_.transaction_status = *status;
        finished_ = true;
        done_.set();
        break;
      default:
        break;
    }
  }

  ServerConnection& connection_;
  const Hear hear_;
  net::Signal done_;
  std::vector<Row> rows_;
  std::vector<std::byte> notifications_;
  std::optional<Error> error_;
  bool finished_ = false;
  bool sent_ = false;
};

ServerConnection::ServerConnection(asio::io_context& context, net::Stream stream)
    : opened_at(Clock::now()),
      idle_since(opened_at),
      context_(&context),
      stream_(std::move(stream)),
      buffer_(buffer_size) {}

ServerConnection::~ServerConnection() {
  parting_.reset();
  close();
}

asio::awaitable<std::expected<std::shared_ptr<ServerConnection>, LoginError>> ServerConnection::open(
    asio::io_context& context, std::shared_ptr<const ServerAddress> address, LoginRequest request) {
  const std::int64_t began = now_ns();
  auto opened = co_await try_to_open(context, address, std::move(request));
  const auto& breaker = address->breaker;
  if (!breaker) co_return opened;
  const std::int64_t now = now_ns();
  // Who refuses a log-in doesn't say whether it is a standby: it is neither.
  const bool is_untold = address->must_be_primary && address->hosts.size() > 1;
  if (opened || !(opened.error().unavailable || opened.error().is_ours)) {
    if (opened || !is_untold) breaker->answered(now, now - began);
  } else if (!opened.error().is_ours) {
    breaker->failed(now, opened.error().error.message);
  }
  co_return opened;
}

asio::awaitable<std::expected<std::shared_ptr<ServerConnection>, LoginError>> ServerConnection::try_to_open(
    asio::io_context& context, std::shared_ptr<const ServerAddress> address, LoginRequest request) {
  auto stream = co_await net::connect(context, address->endpoint, address->connect_timeout);
  if (!stream) {
    const bool is_ours = stream.error().sqlstate == net::no_resources || stream.error().sqlstate == net::not_resolved;
    co_return std::unexpected(LoginError{stream.error(), {}, true, is_ours});
  }
  auto connection = std::make_shared<ServerConnection>(context, std::move(*stream));
  connection->address_ = address;
  const Deadline deadline(context, connection->stream_, address->connect_timeout);
  auto logged_in = co_await connection->log_in(std::move(request));
  if (!logged_in) {
    connection->close();
    // Who has begun to answer is there: what comes then may be about this user, such as a slow check of his password.
    if (!connection->heard_) connection->heard_ = co_await says_anything(context, address);
    logged_in.error().unavailable = !connection->heard_ || is_not_ready(logged_in.error().error.sqlstate);
    co_return std::unexpected(std::move(logged_in.error()));
  }
  if (address->must_be_primary && connection->says_on("in_hot_standby")) {
    connection->close();
    co_return std::unexpected(LoginError{
        Error{.message = "the server is a standby, and a primary is asked for", .sqlstate = "57P03"}, {}, true});
  }
  co_return connection;
}

bool ServerConnection::says_on(std::string_view parameter) const {
  return std::ranges::any_of(session_.parameter_statuses,
                             [&](const auto& status) { return status.first == parameter && status.second == "on"; });
}

asio::awaitable<std::expected<void, LoginError>> ServerConnection::log_in(LoginRequest request) {
  error_code error;
  const bool local = address_->endpoint.host.starts_with('/');
  if (address_->tls && !local) {
    std::string ask;
    pgwire::append_ssl_request(ask);
    co_await stream_.write_all(as_bytes(ask), error);
    std::array<std::byte, 1> answer{};
    if (!error) co_await stream_.read_some(answer, error);
    if (error) co_return std::unexpected(broken("the server closed the connection during the TLS negotiation"));
    heard_ = true;
    // One byte was read and no more: what an attacker puts behind it stays outside of TLS (CVE-2021-23222).
    if (answer[0] == std::byte{'S'}) {
      auto started = co_await stream_.start_tls_client(address_->tls, address_->endpoint.host);
      if (!started) co_return std::unexpected(LoginError{started.error(), {}});
    } else if (answer[0] != std::byte{'N'} || address_->tls_required) {
      co_return std::unexpected(
          LoginError{Error{.message = "the server does not support TLS, which is required", .sqlstate = "08001"}, {}});
    }
  }
  login_ = std::move(request);
  const auto user = std::ranges::find(*login_.startup, "user", &ParameterList::value_type::first);
  pgwire::ServerLogin machine({.user = user == login_.startup->end() ? std::string() : user->second,
                               .credential = login_.credential,
                               .parameters = *login_.startup,
                               .tls_server_end_point = stream_.tls_server_end_point(),
                               .secure_transport = stream_.encrypted() || local});
  const std::string startup = machine.startup_packet();
  co_await stream_.write_all(as_bytes(startup), error);
  while (!error) {
    std::size_t at = 0;
    while (held_ - at >= pgwire::header_size) {
      const auto header = pgwire::load_header(std::span(buffer_).subspan(at));
      if (!header.valid() || header.length > pgwire::backend::max_login_length) {
        co_return std::unexpected(
            LoginError{Error{.message = "the server sent a malformed message during log-in", .sqlstate = "08P01"}, {}});
      }
      if (held_ - at < header.total()) break;
      const auto body = std::span(buffer_).subspan(at + pgwire::header_size, header.length - 4);
      pgwire::ServerLogin::Step step;
      if (machine.is_slow(header.type)) {
        co_await asio::co_spawn(slow_logins(), take_step(&machine, header.type, body, &step), asio::use_awaitable);
      } else {
        step = machine.on_message(header.type, body);
      }
      at += header.total();
      if (step.state == pgwire::ServerLogin::State::failed) {
        co_return std::unexpected(LoginError{std::move(step.error), std::move(step.error_response)});
      }
      if (!step.send.empty()) co_await stream_.write_all(as_bytes(step.send), error);
      if (step.state == pgwire::ServerLogin::State::ready) {
        session_ = machine.session();
        state_.parameters = std::make_shared<ParameterList>(session_.parameter_statuses);
        std::memmove(buffer_.data(), buffer_.data() + at, held_ - at);
        held_ -= at;
        co_return std::expected<void, LoginError>{};
      }
    }
    std::memmove(buffer_.data(), buffer_.data() + at, held_ - at);
    held_ -= at;
    if (!error) held_ += co_await stream_.read_some(std::span(buffer_).subspan(held_), error);
    heard_ = heard_ || held_ > 0;
  }
  co_return std::unexpected(broken(stream_.is_open() ? "the server closed the connection during log-in"
                                                     : "the server did not finish the log-in in time"));
}

void ServerConnection::start_reading() {
  stream_.notify(*context_, *this);
  if (held_ > 0) deal_with_held();
}

void ServerConnection::on_readable() {
  const auto self = shared_from_this();
  while (!waiting_ && stream_.is_open()) {
    if (held_ == buffer_.size()) {
      if (buffer_.size() >= max_own_message) return close();  // a message that claims more than we read ourselves
      buffer_.resize(buffer_.size() * 2);
    }
    const std::size_t room = buffer_.size() - held_;
    error_code error;
    const std::size_t got = stream_.try_read(std::span(buffer_).subspan(held_), error);
    if (error) {
      if (address_->breaker && !parting_) address_->breaker->lost(now_ns());
      return lost();
    }
    if (got == 0) return;
    if (address_->breaker && address_->breaker->listens()) address_->breaker->heard(now_ns());
    held_ += got;
    deal_with_held();
    if (stream_.is_open() && stream_.drained(got, room)) return;
  }
}

void ServerConnection::deal_with_held() {
  const auto sink = sink_;  // it may detach, and be destroyed, while it works
  const std::span<std::byte> bytes(buffer_.data(), held_);
  const std::size_t used = sink ? sink->on_server_bytes(bytes) : idle_bytes(bytes);
  held_ -= used;
  if (held_ > 0 && used > 0) std::memmove(buffer_.data(), buffer_.data() + used, held_);
  if (held_ == 0 && buffer_.size() > buffer_size) {
    buffer_.resize(buffer_size);
    buffer_.shrink_to_fit();
  }
  if (!sink || sink != sink_ || sink->writable()) return;
  waiting_ = true;
  asio::co_spawn(
      *context_,
      [](std::shared_ptr<ServerConnection> self, std::shared_ptr<Sink> holder) -> asio::awaitable<void> {
        co_await holder->drained();
        self->waiting_ = false;
        self->on_readable();
      }(shared_from_this(), sink),
      asio::detached);
}

std::size_t ServerConnection::idle_bytes(std::span<std::byte> bytes) {
  std::size_t at = 0;
  while (bytes.size() - at >= pgwire::header_size) {
    const auto header = pgwire::load_header(bytes.subspan(at));
    if (!header.valid() || header.total() > max_own_message) {
      close();
      return bytes.size();
    }
    if (bytes.size() - at < header.total()) break;
    const auto body = bytes.subspan(at + pgwire::header_size, header.length - 4);
    at += header.total();
    switch (header.type) {
      case pgwire::backend::parameter_status:
        if (const auto status = pgwire::decode_parameter_status(body)) {
          state_.parameters = with_parameter(state_.parameters, status->name, status->value);
        }
        break;
      case pgwire::backend::notice_response:
      case pgwire::backend::notification_response:
        break;
      case pgwire::backend::error_response:
        if (const auto notice = pgwire::decode_notice(body)) {
          log::debug("idle server connection ended", {{"sqlstate", notice->sqlstate()}, {"server", notice->message()}});
        }
        close();
        return bytes.size();
      default:
        // Nothing was asked, so there is nothing to answer: whoever got this connection next would get a foreign
        // answer.
        log::warn("server sent an answer that nobody waits for", {{"type", std::string(1, header.type)}});
        close();
        return bytes.size();
    }
  }
  return at;
}

asio::awaitable<Result<std::vector<ServerConnection::Row>>> ServerConnection::query(std::string sql,
                                                                                    std::vector<std::string> parameters,
                                                                                    milliseconds timeout) {
  auto internal = std::make_shared<InternalQuery>(*this);
  std::string out;
  if (parameters.empty()) {
    pgwire::append_query(out, sql);
  } else {
    const std::vector<pgwire::Value> values(parameters.begin(), parameters.end());
    pgwire::append_parse(out, "", sql);
    pgwire::append_bind(out, {.values = values});
    pgwire::append_execute(out, "");
    pgwire::append_sync(out);
  }
  if (auto done = co_await ask(std::move(out), internal, timeout); !done) co_return std::unexpected(done.error());
  co_return internal->take_rows();
}

asio::awaitable<Result<>> ServerConnection::exchange(std::string messages, Hear hear, milliseconds timeout) {
  co_return co_await ask(std::move(messages), std::make_shared<InternalQuery>(*this, std::move(hear)), timeout);
}

asio::awaitable<Result<>> ServerConnection::ask(std::string out, std::shared_ptr<InternalQuery> internal,
                                                milliseconds timeout) {
  const auto self = shared_from_this();
  if (!is_open()) co_return fail("the server closed the connection", "08006");
  const auto before = std::exchange(sink_, internal);
  state_.unnamed = 0;
  error_code error;
  co_await stream_.write_all(as_bytes(out), error);
  if (error) {
    close();
  } else {
    internal->sent();
  }
  auto answer = co_await internal->answer(timeout);
  if (!internal->finished()) close();  // what comes late must not be taken for the next answer
  if (sink_ == internal) sink_ = before;
  if (before && sink_ == before && !internal->notifications().empty()) {
    before->on_server_bytes(internal->notifications());
  }
  co_return answer;
}

void ServerConnection::move_to(asio::io_context& other,
                               std::function<void(std::shared_ptr<ServerConnection>)> arrived) {
  stream_.stop_notifying();
  context_ = &other;
  asio::post(other, [self = shared_from_this(), arrived = std::move(arrived)] {
    self->start_reading();
    arrived(self);
  });
}

/// Hears only of the end.
class ServerConnection::Farewell final : public Sink {
 public:
  explicit Farewell(asio::io_context& context) : gone(context) {}
  std::size_t on_server_bytes(std::span<std::byte> bytes) override { return bytes.size(); }
  bool writable() const override { return true; }
  asio::awaitable<void> drained() override { co_return; }
  void on_server_gone() override { gone.set(); }
  bool half_sent() const override { return false; }

  net::Signal gone;
};

void ServerConnection::part() {
  if (!is_open()) return;
  if (sink_ && sink_->half_sent()) return close();
  parting_ = std::make_shared<Farewell>(*context_);
  const auto before = std::exchange(sink_, parting_);
  std::string terminate;
  pgwire::append_terminate(terminate);
  error_code ignored;
  stream_.try_write(as_bytes(terminate), ignored);
  if (before) asio::post(*context_, [before] { before->on_server_gone(); });  // in its own time
}

asio::awaitable<bool> ServerConnection::parted(std::chrono::milliseconds limit) {
  const auto self = shared_from_this();
  const auto parting = parting_;
  if (!parting || !stream_.is_open()) co_return true;
  co_return co_await parting->gone.wait(limit);
}

const std::optional<ServerProcess>& ServerConnection::process() {
  if (!std::exchange(looked_for_process_, true))
    process_ = ServerProcess::find(stream_.native_handle(), session_.process_id);
  return process_;
}

void ServerConnection::close() {
  if (!stream_.is_open() || parting_) return;
  if (!sink_ || !sink_->half_sent()) {
    std::string terminate;
    pgwire::append_terminate(terminate);
    error_code ignored;
    stream_.try_write(as_bytes(terminate), ignored);
  }
  stream_.close();
  // The holder hears of it in its own time, not in the middle of what it does.
  if (const auto self = weak_from_this().lock()) {
    asio::post(*context_, [self] { self->lost(); });
  } else {
    lost();
  }
}

void ServerConnection::lost() {
  stream_.close();
  if (std::exchange(lost_, true)) return;
  auto sink = std::exchange(sink_, nullptr);
  auto closed = std::exchange(on_closed, nullptr);
  if (closed) closed(*this);
  if (sink) sink->on_server_gone();
}

asio::awaitable<bool> cancel(asio::io_context& context, std::shared_ptr<const ServerAddress> address,
                             std::uint32_t process_id, std::uint32_t secret_key, std::function<bool()> is_wanted) {
  constexpr milliseconds limit(5000);
  auto stream = co_await net::connect(context, address->endpoint, std::min(limit, address->connect_timeout));
  if (!stream) {
    log::warn("could not send a cancel request", {{"reason", stream.error().message}});
    co_return true;
  }
  const Deadline deadline(context, *stream, limit);
  error_code error;
  std::array<std::byte, 1> byte{};
  if (address->tls && !address->endpoint.host.starts_with('/')) {
    std::string ask;
    pgwire::append_ssl_request(ask);
    co_await stream->write_all(as_bytes(ask), error);
    if (!error) co_await stream->read_some(byte, error);
    if (!error && byte[0] == std::byte{'S'}) {
      if (!co_await stream->start_tls_client(address->tls, address->endpoint.host)) co_return true;
    } else if (error || address->tls_required) {
      co_return true;
    }
  }
  if (is_wanted && !is_wanted()) co_return true;
  std::string request;
  pgwire::append_cancel_request(request, process_id, secret_key);
  co_await stream->write_all(as_bytes(request), error);
  while (!error) co_await stream->read_some(byte, error);  // PostgreSQL closes once the signal is sent
  co_return error == asio::error::eof || error == asio::error::connection_reset;
}

void join_slow_logins() { slow_logins().join(); }

}  // namespace millrace::backend
