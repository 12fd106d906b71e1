#pragma once

#include <cstdint>

namespace millrace::executor {

/// When a query is to be given up because all wait too long: CoDel's law (RFC 8289), with queries for packets. While
/// the shortest wait of an interval is above the target, one is given up, then the next after interval / sqrt(2),
/// interval / sqrt(3), ... A burst that is worked off within the interval costs nobody anything. Not thread-safe.
class Shedding {
 public:
  /// In ns; 0: nothing is ever given up.
  void set(std::int64_t target, std::int64_t interval) {
    target_ = target;
    interval_ = interval;
  }

  /// Somebody who has waited so long gets his turn. True: somebody else is to be given up.
  bool on_turn(std::int64_t waited, std::int64_t now);
  /// Nobody waits.
  void on_empty() { above_since_ = 0; }

 private:
  std::int64_t target_ = 0, interval_ = 0;
  std::int64_t above_since_ = 0;  ///< 0: it isn't
  std::int64_t next_ = 0;         ///< when the next is given up; 0: nobody is at present
  std::uint32_t count_ = 0;
};

}  // namespace millrace::executor
