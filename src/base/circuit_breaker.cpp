#include "base/circuit_breaker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

constexpr double ns_a_second = 1e9;
constexpr std::int64_t silence = 1'000'000'000;

double seconds(std::int64_t ns) { return static_cast<double>(std::max<std::int64_t>(ns, 0)) / ns_a_second; }

}  // namespace

CircuitBreaker::CircuitBreaker(std::string name) : interval_(config_.timeout) {
  status_.name = std::move(name);
  status_.config = config_;
}

/// With the lock held, as for all that is private but `tell`.
void CircuitBreaker::push(bool is_failure, std::int64_t now) {
  window_.push_back(is_failure);
  if (window_.size() > config_.sliding_window_size) window_.pop_front();
  if (is_failure) {
    if (status_.failing_since == 0) status_.failing_since = now;
    status_.last_failure = now;
    ++status_.failures_in_row;
    status_.successes_in_row = 0;
  } else {
    status_.failing_since = 0;
    status_.last_answer = heard_at_ = now;
    status_.failures_in_row = 0;
    ++status_.successes_in_row;
  }
  note_listens();
}

std::size_t CircuitBreaker::failures() const { return static_cast<std::size_t>(std::ranges::count(window_, true)); }

/// It would open if one more attempt failed.
bool CircuitBreaker::is_suspect(std::int64_t now) const {
  return on_ && status_.state == State::closed && failures() >= config_.failure_threshold &&
         (heard_at_ == 0 || now - heard_at_ > silence);
}

void CircuitBreaker::note_listens() {
  listens_.store(status_.state != State::closed || failures() > 0, std::memory_order::relaxed);
}

void CircuitBreaker::become(State state) {
  status_.state = state;
  refuses_.store(state != State::closed, std::memory_order::relaxed);
  note_listens();
}

void CircuitBreaker::open(std::int64_t now, std::chrono::nanoseconds interval) {
  interval_ = std::min(interval, config_.max_timeout);
  constexpr double least = 0.75, most = 1.25;
  const double factor = std::uniform_real_distribution(least, most)(random_);
  status_.next_attempt = now + static_cast<std::int64_t>(static_cast<double>(interval_.count()) * factor);
  become(State::open);
}

void CircuitBreaker::close() {
  window_.clear();
  status_.next_attempt = 0;
  become(State::closed);
}

/// Without the lock. One after another, so that the last that is told is how it is.
void CircuitBreaker::tell() {
  const std::lock_guard telling(telling_);
  bool is_closed = true;
  {
    const std::lock_guard lock(mutex_);
    is_closed = status_.state == State::closed;
  }
  if (std::exchange(told_closed_, is_closed) != is_closed && changed_) changed_(is_closed);
}

void CircuitBreaker::on_change(std::function<void(bool)> changed) {
  const std::lock_guard telling(telling_);
  changed_ = std::move(changed);
}

void CircuitBreaker::turn(bool on) {
  {
    const std::lock_guard lock(mutex_);
    on_ = on;
    if (on || status_.state == State::closed) return;
    close();
  }
  tell();
}

void CircuitBreaker::answered(std::int64_t now, std::int64_t took) {
  {
    const std::lock_guard lock(mutex_);
    ++status_.answered;
    answered_ns_ += took;
    const bool was_closed = status_.state == State::closed;
    if (!was_closed) close();
    push(false, now);
    if (was_closed) return;
  }
  tell();
}

void CircuitBreaker::failed(std::int64_t now, std::string_view why) {
  const std::lock_guard lock(mutex_);
  ++status_.failed;
  status_.why = why;
  push(true, now);
}

void CircuitBreaker::lost(std::int64_t now) {
  const std::lock_guard lock(mutex_);
  ++status_.lost;
  push(true, now);
}

void CircuitBreaker::heard(std::int64_t now) {
  {
    const std::lock_guard lock(mutex_);
    heard_at_ = now;
    if (status_.state == State::closed) {
      if (failures() > 0) push(false, now);
      note_listens();
      return;
    }
    close();
    push(false, now);
  }
  tell();
}

bool CircuitBreaker::is_silent(std::int64_t now) {
  const std::lock_guard lock(mutex_);
  listens_.store(true, std::memory_order::relaxed);
  if (heard_at_ == 0) heard_at_ = now;
  return on_ && status_.state == State::closed && now - heard_at_ > silence;
}

bool CircuitBreaker::begin_attempt(std::int64_t now) {
  const std::lock_guard lock(mutex_);
  const bool is_due = status_.state == State::open && now >= status_.next_attempt;
  if (is_tried_ || !(is_due || is_suspect(now))) return false;
  if (is_due) become(State::half_open);
  return is_tried_ = true;
}

void CircuitBreaker::end_attempt(std::int64_t now, bool has_failed) {
  {
    const std::lock_guard lock(mutex_);
    is_tried_ = false;
    if (status_.state == State::half_open) open(now, has_failed ? interval_ * 2 : interval_);
    if (!has_failed || !is_suspect(now)) return;
    ++status_.opened;
    open(now, config_.timeout);
  }
  tell();
}

Error CircuitBreaker::refuse(std::int64_t now) {
  refused_.fetch_add(1, std::memory_order::relaxed);
  State state{};
  std::int64_t failing_since = 0, next_attempt = 0;
  std::string name, why;
  {
    const std::lock_guard lock(mutex_);
    state = status_.state;
    failing_since = status_.failing_since;
    next_attempt = status_.next_attempt;
    name = status_.name;
    why = status_.why;
  }
  const std::string next = state == State::half_open
                               ? "is being tried now"
                               : fmt::format("is tried next in {:.1f} s", seconds(next_attempt - now));
  return {.message = fmt::format("the server at {} can't be reached", name),
          .sqlstate = "57P03",
          .hint = fmt::format("It hasn't answered for {:.1f} s, and {}. Until then all that needs it is refused at "
                              "once.",
                              seconds(failing_since == 0 ? 0 : now - failing_since), next),
          .detail = std::move(why)};
}

CircuitBreaker::Status CircuitBreaker::status() const {
  const std::lock_guard lock(mutex_);
  Status status = status_;
  status.recent_failures = failures();
  status.refused = refused_.load(std::memory_order::relaxed);
  if (status.answered > 0) status.mean_ns = answered_ns_ / static_cast<std::int64_t>(status.answered);
  return status;
}

}  // namespace millrace
