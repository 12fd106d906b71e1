#pragma once

#include <chrono>
#include <cstdint>
#include <random>

namespace millrace::executor {

/// How much of what is asked may be asked again after it has failed: a tenth, so that a server in trouble gets no more
/// than a tenth more to do (Google SRE, "Handling Overload"), and one a second where little is asked. What isn't used
/// is saved up for a while. Not thread-safe.
class RetryBudget {
 public:
  static constexpr double a_query = 0.1, a_second = 1, most_saved = 100, at_first = 10;

  /// A query was sent.
  void sent() { saved_ = saved_ + a_query < most_saved ? saved_ + a_query : most_saved; }
  /// One is to be sent again. False: it isn't.
  bool take(std::int64_t now);

 private:
  double saved_ = at_first;
  std::int64_t looked_ = 0;
};

/// The pauses before something is tried again: at most 50 ms, then `multiplier` times that and so on, 2 s at most; each
/// by chance anything from nothing to that ("full jitter"), so that those who failed together don't come back together.
class Backoff {
 public:
  explicit Backoff(double multiplier) : multiplier_(multiplier) {}
  /// `times`: how often it was tried again before.
  std::chrono::nanoseconds pause(int times, std::minstd_rand& random) const;
  /// The most that this may be.
  std::chrono::nanoseconds longest(int times) const;

 private:
  double multiplier_;
};

}  // namespace millrace::executor
