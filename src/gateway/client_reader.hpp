#pragma once

#include <cstdint>
#include <string>

#include "pgwire/protocol/frame.hpp"

namespace millrace::gateway {

/// Cuts what a client sends into messages. A message that need not be whole to be understood is an item as soon as it
/// has begun; the rest of it then passes unseen. Items are views of the client's buffer, for as long as it stays.
class ClientReader {
 public:
  explicit ClientReader(std::uint32_t max_message) : max_message_(max_message) {}

  struct Item {
    char type;
    pgwire::Bytes message;  ///< as much as is there, with its header
    std::size_t total;      ///< its size once it is whole
    bool whole() const { return message.size() == total; }
    pgwire::Bytes body() const { return message.subspan(pgwire::header_size); }
  };
  enum class Found {
    item,
    passing,    ///< a part of a message that was taken before: `Item::message` is it
    nothing,    ///< more bytes are needed
    terminate,  ///< the client said goodbye
    broken,     ///< the client broke the protocol: `error`
  };
  /// What `in` begins with. It is read again unless it is `taken`; what is passing is taken already.
  Found read(pgwire::Bytes in, Item& item);
  void take(const Item& item);
  /// What it was asked about was answered without being taken: what `needs_server` has seen of it is gone.
  void answered() { waiting_ = 0; }

  /// Whether it is time to get a server connection: a client that begins a message, or a batch, and falls silent must
  /// not hold one, so what only prepares waits for what is to be answered (up to 64 KiB). `in` begins with what was
  /// read last.
  enum class Needs { nothing, server, goodbye };
  Needs needs_server(pgwire::Bytes in);
  /// So much of `in` are whole messages that wait for one that needs the server.
  std::size_t waiting() const { return waiting_; }

  /// A part of a message was taken, whose rest the client still has.
  bool mid_message() const { return left_ > 0; }
  const std::string& error() const { return error_; }

 private:
  bool is_too_long(const pgwire::Header& header) const;

  const std::uint32_t max_message_;
  std::uint64_t left_ = 0;  ///< of the message that is passing
  std::size_t waiting_ = 0;
  std::string error_;
};

/// Whether this is the rest of a batch that only closes statements or portals, up to its Sync.
bool only_closes(pgwire::Bytes rest);

/// Whether a client's bytes may call currval() or lastval().
bool mentions_sequence_state(pgwire::Bytes bytes);

}  // namespace millrace::gateway
