#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace {

/// Whether a server that many use is worth asking. While it can't be reached nobody is made to wait until he finds that
/// out by himself: all are refused at once, and one attempt now and then shows whether it is back.
///
/// It is closed, and counts outcomes: attempts to connect that failed or didn't, and connections that were lost. When
/// `failure_threshold` of the last `sliding_window_size` outcomes were failures, and nothing has come for a second on a
/// connection that is open, its owner is to make an attempt of his own, and only if that fails as well it opens. After
/// `timeout`, then twice that and so on up to `max_timeout`, each a quarter shorter or longer by chance, it is half
/// open: one attempt is made, which closes it or opens it anew. What a server answers, and be it a refusal, is no
/// failure: only who tells of outcomes knows that one. Whatever comes on a connection that is open closes it too.
///
/// Moments are of now_ns(). Thread-safe.
class CircuitBreaker {
 public:
  enum class State : std::uint8_t { closed, open, half_open };

  struct Config {
    std::size_t failure_threshold = 5;
    std::size_t sliding_window_size = 10;
    std::chrono::nanoseconds timeout = std::chrono::milliseconds(500);
    std::chrono::nanoseconds max_timeout = std::chrono::seconds(8);
  };

  /// `name`: of the server, for people.
  explicit CircuitBreaker(std::string name);

  /// Off, it never opens; it is on at first.
  void turn(bool on);

  /// Whether nothing that needs a connection is to be tried.
  bool refuses() const { return refuses_.load(std::memory_order::relaxed); }
  /// What that is refused with, as by a server that isn't ready (57P03). Counts it.
  Error refuse(std::int64_t now);

  /// Of an attempt: the server has answered, `took` ns after it began.
  void answered(std::int64_t now, std::int64_t took);
  /// Likewise: it hasn't, for this reason, which may hold the server's words.
  void failed(std::int64_t now, std::string_view why);
  /// The server, or what lies between, has ended a connection.
  void lost(std::int64_t now);
  /// Something has come on a connection that was open. To be told only while `listens`.
  void heard(std::int64_t now);
  bool listens() const { return listens_.load(std::memory_order::relaxed); }
  /// It is closed, and nothing has been heard for a second. To be asked now and then, as it listens only then. Where
  /// somebody waits it is time for an attempt: a server that takes what it is sent and never answers fails nobody.
  bool is_silent(std::int64_t now);

  /// True: whoever asked makes an attempt, and says `end_attempt` behind what else there is to say of its outcome. It
  /// is half open, or closed and wouldn't stay so if that fails. To be asked now and then.
  bool begin_attempt(std::int64_t now);
  /// `has_failed`: false: it was answered, or had no outcome.
  void end_attempt(std::int64_t now, bool has_failed);

  /// It has opened, or is closed again; on the thread whose call made it so, or on one that tells of an earlier change.
  /// No call comes while another is under way.
  void on_change(std::function<void(bool is_closed)> changed);

  struct Status {
    std::string name;
    State state = State::closed;
    std::size_t failures_in_row = 0, successes_in_row = 0, recent_failures = 0;
    std::int64_t failing_since = 0;  ///< 0: it doesn't fail
    std::int64_t next_attempt = 0;   ///< 0: it is closed
    std::uint64_t answered = 0, failed = 0, lost = 0, opened = 0, refused = 0;
    std::int64_t mean_ns = 0;  ///< from an attempt's begin to its answer
    std::int64_t last_failure = 0, last_answer = 0;
    std::string why;  ///< of the last attempt that failed
    Config config;
  };
  Status status() const;

 private:
  void push(bool is_failure, std::int64_t now);
  std::size_t failures() const;
  bool is_suspect(std::int64_t now) const;
  void open(std::int64_t now, std::chrono::nanoseconds interval);
  void become(State state);
  void close();
  void note_listens();
  void tell();

  const Config config_{};
  std::atomic<bool> refuses_ = false, listens_ = false;
  std::atomic<std::uint64_t> refused_ = 0;

  mutable std::mutex mutex_;
  bool on_ = true, is_tried_ = false;
  std::deque<bool> window_;  ///< of failures
  std::chrono::nanoseconds interval_;
  std::int64_t answered_ns_ = 0, heard_at_ = 0;
  Status status_;
  std::minstd_rand random_{std::random_device()()};

  std::mutex telling_;  ///< taken before the other
  bool told_closed_ = true;
  std::function<void(bool)> changed_;
};

constexpr std::string_view name(CircuitBreaker::State state) {
  using enum CircuitBreaker::State;
  return state == closed ? "closed" : state == open ? "open" : "half_open";
}

}  // namespace millrace
