#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::executor {

/// How long those wait who get their turns from a queue, and whether one more is to be refused, as more come than get
/// turns. As CoDel does (RFC 8289), it goes by a queue that stands: for an interval nobody has got his turn soon, which a
/// burst that is worked off by then doesn't cause. As PIE does (RFC 8033), it is who comes that is refused, at once,
/// and only while the wait that is before him, by Little's law, is above the target: who waits already goes on.
/// Not thread-safe.
class QueueDelay {
 public:
  /// In ns. No target: nobody is refused.
  struct Limits {
    std::int64_t target = 0, interval = 0;
  };

  /// Somebody waits, and before nobody did.
  void begin(std::int64_t now);
  /// Somebody has got his turn who had waited so long.
  void on_turn(std::int64_t waited, const Limits& limits, std::int64_t now);
  /// Since somebody began to wait.
  std::int64_t last_turn() const { return last_; }
  /// With so many in front of him.
  bool is_too_long(std::size_t ahead, const Limits& limits, std::int64_t now) const;

 private:
  std::int64_t soon_ = 0;     ///< when somebody has got his turn soon
  std::int64_t last_ = 0;     ///< when somebody has got his turn
  std::int64_t between_ = 0;  ///< two turns, in the mean of the last few
};

}  // namespace millrace::executor
