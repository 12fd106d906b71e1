#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "http/live_types.hpp"
#include "http/websocket.hpp"
#include "net/signal.hpp"

namespace millrace::http {

class LiveClient;

/// Hands messages to all clients that listen. Who publishes never waits: of what a client doesn't take, the oldest is
/// dropped, and the next message says how many were. Thread-safe.
class LiveUpdates {
 public:
  static constexpr std::size_t most_clients = 64;
  static constexpr std::size_t most_waiting = 256;                         ///< messages, of a client
  static constexpr std::size_t most_waiting_bytes = std::size_t{1} << 20;  ///< of them; clients share the texts

  /// `data` is JSON.
  void publish(LiveTopic topic, std::string data);

  std::size_t clients() const;

  /// All messages that were dropped, of all clients.
  std::uint64_t dropped() const;

 private:
  friend class LiveClient;

  mutable std::mutex mutex_;
  std::vector<LiveClient*> clients_;
  std::uint64_t dropped_ = 0;
};

/// One that listens, to all topics until it says otherwise.
class LiveClient : public std::enable_shared_from_this<LiveClient> {
 public:
  /// Null: there are as many as may be.
  static std::shared_ptr<LiveClient> join(std::shared_ptr<LiveUpdates> updates);
  ~LiveClient();

  /// Tells it all until it is gone. On the WebSocket's thread, once.
  static asio::awaitable<void> serve(std::shared_ptr<LiveClient> self, WebSocket& socket);

  /// The next message as it is sent; nothing: there is none. Thread-safe.
  std::optional<std::string> next();

 private:
  friend class LiveUpdates;
  struct Message {
    LiveTopic topic = LiveTopic::metrics;
    std::shared_ptr<const std::string> data;
  };

  explicit LiveClient(std::shared_ptr<LiveUpdates> updates) : updates_(std::move(updates)) {}
  /// How many it drops for that.
  std::uint64_t add(const Message& message);
  void answer(std::string_view text);
  void wake();
  asio::awaitable<void> send_all(WebSocket& socket);

  const std::shared_ptr<LiveUpdates> updates_;

  std::mutex mutex_;
  std::deque<Message> waiting_;
  std::deque<std::string> answers_;  ///< to what it has said: they go first
  std::size_t waiting_bytes_ = 0;
  std::uint64_t dropped_ = 0;  ///< since the last message
  std::vector<LiveTopic> wants_ = {LiveTopic::metrics, LiveTopic::slow_query, LiveTopic::anomaly, LiveTopic::alert,
                                   LiveTopic::plan_change};

  // On its thread only, once it is served.
  asio::io_context* context_ = nullptr;
  std::optional<net::Signal> woken_;
  bool over_ = false;
};

}  // namespace millrace::http
