#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "gateway/shrink.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::gateway {

/// What a client has sent since nothing was under way, as long as it may be sent again: on another server
/// connection, should this one be lost before anything of the answer has gone to the client. Not thread-safe.
class Unanswered {
 public:
  /// What is longer, all in all, isn't sent again.
  static constexpr std::size_t most_bytes = 16 * 1024;

  /// Nothing is under way, and the client's input is sent from `at` on. `may`: as far as that isn't about what it says.
  void begin(bool may, std::size_t at) {
    bytes_.clear();
    may_ = may;
    if (at >= repeated_) times_ = 0;
  }
  /// It is sent.
  void add(pgwire::Bytes message, bool is_whole) {
    if (!is_whole || bytes_.size() + message.size() > most_bytes) may_ = false;
    if (may_) bytes_.append(pgwire::as_text(message));
  }
  void forbid() { may_ = false; }
  bool may() const { return may_; }
  const std::string& bytes() const { return bytes_; }

  /// They are in the client's input once more, at its front; where there are none it begins with a message for which
  /// something was sent.
  void repeat() {
    repeated_ = std::max<std::size_t>(bytes_.size(), 1);
    bytes_.clear();
    may_ = false;
    to_rest_ = true;
    ++times_;
  }
  /// How often that was.
  int times() const { return times_; }
  /// 0: nobody has to, any more.
  int take_rest() { return std::exchange(to_rest_, false) ? times_ : 0; }
  bool is_to_rest() const { return to_rest_; }
  /// Whether the client's input begins with such.
  bool repeats() const { return repeated_ > 0; }
  /// So much of it is on its way, or answered.
  void used(std::size_t count) { repeated_ -= std::min(repeated_, count); }

  std::size_t give_back_memory() {
    if (!may_) bytes_.clear();
    return shrink(bytes_);
  }

 private:
  std::string bytes_;
  std::size_t repeated_ = 0;
  int times_ = 0;
  bool may_ = false;
  bool to_rest_ = false;
};

}  // namespace millrace::gateway
