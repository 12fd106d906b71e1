#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::executor {

/// How often those in a queue get their turns, by which one who comes can be told how long he would wait (Little's
/// law). It is measured over so many turns that a pause between some that come together isn't taken for a pace. Not
/// thread-safe.
class TurnRate {
 public:
  static constexpr int measured_by = 32;  ///< turns

  /// Somebody waits, and before nobody did: nothing is known.
  void begin(std::int64_t now);
  void on_turn(std::int64_t now);

  /// When there was a turn, or somebody began to wait.
  std::int64_t last_turn() const { return last_; }
  /// In ns, with so many in front of him; 0 where nothing is known.
  double wait(std::size_t ahead) const { return static_cast<double>(ahead) * between_; }

 private:
  std::int64_t begun_ = 0, last_ = 0;
  int turns_ = 0;
  double between_ = 0;  ///< two turns, ns
};

}  // namespace millrace::executor
