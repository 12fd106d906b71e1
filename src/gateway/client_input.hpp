#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "pgwire/protocol/frame.hpp"

namespace millrace::gateway {

/// What all clients hold in large buffers, together. Thread-safe.
struct HeldBytes {
  std::atomic<std::size_t> now = 0;
  std::atomic<std::size_t> most = 0;
};

/// What a client has sent that isn't passed on yet. The buffer grows with what must be held and goes back afterwards;
/// large ones are counted, as all clients together may hold so much and no more.
class ClientInput {
 public:
  explicit ClientInput(HeldBytes& by_all) : by_all_(by_all), buffer_(small) {}
  ~ClientInput() { resize(0); }

  ClientInput(const ClientInput&) = delete;
  ClientInput& operator=(const ClientInput&) = delete;

  /// An idle client holds this much; a pgbench query has 90 bytes.
  static constexpr std::size_t small = 1024;
  static constexpr std::size_t large = 64 * 1024;

  pgwire::Bytes bytes() const { return std::span(buffer_).first(held_); }
  std::span<std::byte> bytes() { return std::span(buffer_).first(held_); }
  bool empty() const { return held_ == 0; }
  /// Where the next bytes are to be read to.
  std::span<std::byte> room() { return std::span(buffer_).subspan(held_); }
  /// So much of `room` was read.
  void add(std::size_t count) {
    last_read_filled_ = count == buffer_.size() - held_;
    held_ += count;
  }
  void consume(std::size_t count);
  void clear() { consume(held_); }
  /// What was consumed comes once more, before all that is there. False: there is no room for it.
  bool put_back(std::string_view bytes);
  /// Nothing more is read.
  void close() {
    held_ = 0;
    resize(0);
  }

  /// Room for the rest of a message that must be whole, and for a client that sends much; little for one that is
  /// `idle`. False: all clients together would hold too much.
  bool reserve_for_next_read(bool idle);
  /// Room for more, but no large buffer. False: there is none left.
  bool reserve_small();
  /// So much in all, for a log-in.
  void reserve(std::size_t size) {
    if (buffer_.size() < size) buffer_.resize(size);
  }
  /// The client rests. Answers how many bytes were given back.
  std::size_t give_back_memory();

 private:
  bool resize(std::size_t size);

  HeldBytes& by_all_;
  std::vector<std::byte> buffer_;
  std::size_t held_ = 0;
  std::size_t charged_ = 0;  ///< in `by_all_`
  bool last_read_filled_ = false;
};

}  // namespace millrace::gateway
