#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backend/server_connection.hpp"
#include "integration/replication_framing.hpp"
#include "net/signal.hpp"

namespace millrace::integration {

/// Receives what START_REPLICATION makes a server send. Belongs to its connection's thread.
class ReplicationLink final : public backend::ServerConnection::Sink,
                              public std::enable_shared_from_this<ReplicationLink> {
 public:
  /// Neither must destroy the link. `on_data`: an error ends the link.
  struct Receiver {
    std::function<Result<>(const XLogData& data, bool whole)> on_data;
    std::function<void(const KeepAlive& alive)> on_keep_alive;
  };

  ReplicationLink(std::shared_ptr<backend::ServerConnection> connection, Receiver receiver);

  /// Sends the command, and answers once the changes have begun to come, or why they don't.
  boost::asio::awaitable<Result<>> start(std::string command);
  /// All before `lsn` is dealt with. Lost if the server doesn't take it now: the next one says the same.
  void acknowledge(pgoutput::Lsn lsn, bool reply_requested);
  /// Ends the connection.
  void close();

  bool is_open() const { return !ended_; }
  /// Why it has ended.
  const Error& error() const { return error_; }
  TimePoint heard_at() const { return heard_at_; }
  /// Is set when it has ended.
  void on_end(std::function<void()> then) { on_end_ = std::move(then); }

 private:
  std::size_t on_server_bytes(std::span<std::byte> bytes) override;
  bool writable() const override { return true; }
  boost::asio::awaitable<void> drained() override { co_return; }
  void on_server_gone() override;
  bool half_sent() const override { return half_sent_; }

  void end(Error error);

  const std::shared_ptr<backend::ServerConnection> connection_;
  ReplicationFraming framing_;
  net::Signal started_;
  std::function<void()> on_end_;
  Error error_;
  TimePoint heard_at_ = Clock::now();
  bool copying_ = false, ended_ = false, half_sent_ = false;
};

/// PostgreSQL's clock: microseconds since 2000.
pgoutput::Timestamp postgresql_now();

}  // namespace millrace::integration
