#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace millrace::log {

/// Writes lines to a descriptor on a thread of its own, so that whoever has something to say never waits for whoever is
/// to read it. Thread-safe.
///
/// At most `max_bytes` wait; a line that doesn't fit is lost and counted. When the others have been written, a line
/// that `tell_lost` makes of the number follows.
class LineWriter {
 public:
  using TellLost = std::function<std::string(std::uint64_t count)>;

  /// `descriptor` stays the caller's, and open.
  LineWriter(int descriptor, std::size_t max_bytes, TellLost tell_lost);
  /// Doesn't wait: what is not yet written is lost, and the thread ends when its last write does.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  /// `line`: without its end.
  void write(std::string_view line);
  /// Waits until all that was given so far is written or lost. False: `limit` passed first.
  bool flush(std::chrono::milliseconds limit);
  /// Lines since the start.
  std::uint64_t lost() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace millrace::log
