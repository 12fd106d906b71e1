#pragma once

#include <functional>

#include "integration/replication_messages.hpp"

namespace millrace::integration {

/// Cuts what a server sends from START_REPLICATION on into messages, and says what they hold. Knows no socket; what it
/// keeps doesn't grow with what comes. Belongs to one thread.
class ReplicationFraming {
 public:
  /// A longer message of the plugin is told by its beginning only.
  static constexpr std::size_t longest_message = std::size_t{256} * 1024;
  static constexpr std::size_t length_of_beginning = 64;

  /// None must destroy the framing, or feed it.
  struct Receiver {
    std::function<void()> on_started;
    std::function<Result<>(const XLogData& data, bool whole)> on_data;
    std::function<void(const KeepAlive& alive)> on_keep_alive;
  };

  explicit ReplicationFraming(Receiver receiver) : receiver_(std::move(receiver)) {}

  /// `bytes` begin where those that were dealt with ended. Answers how many are; the rest comes again with more. An
  /// error (the server's, the receiver's, or 08P01) is the end.
  Result<std::size_t> feed(pgwire::Bytes bytes);

 private:
  Result<> on_message(char type, pgwire::Bytes body, bool whole);
  Result<> on_copy_data(pgwire::Bytes body, bool whole);

  Receiver receiver_;
  std::size_t skip_ = 0;  ///< bytes of a long message that are still to come
};

}  // namespace millrace::integration
