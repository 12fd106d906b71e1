#pragma once

#include <algorithm>
#include <cstdint>

namespace millrace::gateway {

/// Whether a session waits for a proof that what is in memory is fresh enough, or has the server asked. A proof takes a
/// time, and so does asking the server, after which another proof is needed: who asks without pause would never again
/// have one. So it is waited for once what was spent on the server instead comes to as much; to twice as much each time
/// that a proof has saved less than it took, before another was needed, and to half as much each time that it has saved
/// more. Times are in ns. Not thread-safe.
class ProofWaits {
 public:
  /// What is spent before it is waited for, by what a proof takes.
  static constexpr std::int64_t most_reluctant = 64, most_eager = 16;  // 64 times, a sixteenth

  /// A proof is needed, which takes about `wait`, or the server is asked, which takes about `cost`.
  bool pays(std::int64_t wait, std::int64_t cost) {
    settle();
    if (wait * reluctance_ / most_eager > cost + spent_) {
      spent_ += cost;
      return false;
    }
    spent_ = 0;
    return true;
  }
  /// It came after so long.
  void waited(std::int64_t ns) { took_ += std::max<std::int64_t>(ns, 1); }
  /// It didn't come.
  void waited_in_vain() { reluctance_ = std::min(reluctance_ * 2, most); }
  /// The server wasn't asked what takes it about `cost`.
  void saved(std::int64_t cost) {
    if (took_ != 0) saved_ += cost;
  }

 private:
  /// What the last proof has brought is known once another is needed.
  void settle() {
    if (took_ == 0) return;
    reluctance_ = saved_ < took_ ? std::min(reluctance_ * 2, most) : std::max<std::int64_t>(reluctance_ / 2, 1);
    took_ = saved_ = 0;
  }

  std::int64_t spent_ = 0;  ///< on the server, on what a proof would have answered, since the last proof
  std::int64_t took_ = 0;   ///< the last proof; 0: there was none, or it is settled
  std::int64_t saved_ = 0;  ///< by it
  static constexpr std::int64_t most = most_reluctant * most_eager;
  std::int64_t reluctance_ = most_eager;  ///< in parts of what a proof takes, of which there are `most_eager`
};

}  // namespace millrace::gateway
