#include "executor/concurrency_limit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace millrace::executor {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t shortest_window = 200 * ms, longest_window = 1000 * ms;
constexpr std::size_t enough = 200;

constexpr std::array<std::size_t, 44> scale = {1,    2,    3,    4,    5,     6,     8,     10,    12,    16,    20,
                                               25,   32,   40,   50,   64,    80,    100,   128,   160,   200,   250,
                                               320,  400,  512,  640,  800,   1000,  1280,  1600,  2000,  2560,  3200,
                                               4000, 5120, 6400, 8000, 10000, 12800, 16000, 20480, 25600, 32000, 40960};
/// Of a search; a lower one is somebody's wish.
constexpr int lowest = 1;

/// Standard deviation of a comparison, where `enough` have ended.
constexpr double uncertainty = 0.18;
/// To move, so much more must get done, or no more than this less.
constexpr double worth_more = 0.02, worth_less = -0.04;
/// Less than half as much is much less, where so many would usually have ended.
constexpr double much_less = -1;
constexpr std::size_t enough_to_tell = 32;
constexpr double not_worth_a_trial = -0.5;
/// Twice as many, or half, in steps. Where the backend has something to spare twice as many gain 1, and where it has
/// nothing half lose nothing; what is in between tells. Near to that up to so many trials decide.
constexpr int coarse = 3;
constexpr double worth_twice_as_many = 0.3, worth_half = -0.2, near = 0.2;
/// It is less than it should be.
constexpr double too_little = -0.1;
/// As much less as there is of the limit: a step would be as bad.
constexpr double not_worth_a_step = -0.9;
constexpr int most_trials_of_a_stride = 3;
/// Windows between trials, at first and once it has settled; and before less is tried once more that was much less.
constexpr int between = 2, between_settled = 8, settles_after = 12, between_much_less = 64;
/// What is usual is the mean of so many windows.
constexpr int usual_of = between + 1;
constexpr int most_weight = 16;

int step_of(std::size_t limit) {
  const auto above = std::ranges::upper_bound(scale, limit);
  return std::max(static_cast<int>(above - scale.begin()) - 1, 0);
}

}  // namespace

void ConcurrencyLimit::Gain::add(double gain, double in_trial) {
  tried = std::min(tried + 1, most_weight);
  mean += (gain - mean) / tried;
  ended += (in_trial - ended) / tried;
}

double ConcurrencyLimit::Gain::sure() const {
  return mean - uncertainty * std::sqrt(static_cast<double>(enough) / std::max(ended * tried, 1.0));
}

ConcurrencyLimit::ConcurrencyLimit(std::size_t most)
    : most_(std::max<std::size_t>(most, 1)), step_(step_of(at_first)), stride_(coarse) {}

void ConcurrencyLimit::set_most(std::size_t most) {
  most = std::max<std::size_t>(most, 1);
  if (most == most_) return;
  const std::size_t before = limit();
  most_ = most;
  tries_ = Tries::nothing;
  settles_ = settles_ || limit() != before;
  windows_ = 0;
}

int ConcurrencyLimit::step() const { return std::min(step_, step_of(most_)); }

std::size_t ConcurrencyLimit::limit() const {
  const int highest = step_of(most_);
  const int tried = step() + (tries_ == Tries::more ? stride_ : tries_ == Tries::less ? -stride_ : 0);
  return tried >= highest ? most_ : scale.at(static_cast<std::size_t>(std::max(tried, std::min(lowest, highest))));
}

bool ConcurrencyLimit::is_due(const Window& window) const {
  const std::int64_t took = window.now - window.begun;
  return took >= longest_window || (took >= shortest_window && (window.ended >= enough || is_clearly_less(window)));
}

/// Whether what is tried is.
bool ConcurrencyLimit::is_clearly_less(const Window& window) const {
  const double expected = usually_ended_ * static_cast<double>(window.now - window.begun);
  return tries_ == Tries::less && expected >= enough_to_tell && static_cast<double>(window.ended) < expected / 2;
}

void ConcurrencyLimit::move(int steps) {
  const int highest = step_of(most_), from = step();
  const int to = std::clamp(from + steps, std::min(lowest, highest), highest);
  if (to != from) step_ = to;
  if (moved_ * steps > 0) stride_ = coarse;
  moved_ = steps;
  next_ = steps > 0 ? Tries::more : Tries::less;
  tries_ = Tries::nothing;
  more_ = less_ = {};
  windows_ = settled_ = shuns_less_ = 0;
}

void ConcurrencyLimit::end(const Window& window) {
  // Where all fails, it does so no quicker with more, and nothing can be told of what else would get done.
  const bool all_fails = window.ended == 0 && window.in_vain > 0;
  const auto took = static_cast<double>(window.now - window.begun);
  const auto ended = static_cast<double>(window.ended);
  // That nobody waits any more with a higher limit tells how much more gets done with it all the same.
  if ((!window.saturated && tries_ != Tries::more) || all_fails) {
    tries_ = Tries::nothing;
    windows_ = 0;
  } else if (is_clearly_less(window)) {
    judge(usual_ + much_less, static_cast<double>(enough));
  } else if (std::exchange(settles_, false) && window.ended > 0) {
    // With another limit there is at first more begun than ended, or less.
  } else if (window.ended == 0) {
    // Whatever runs waits for something else, such as a lock that a query in the queue would give back.
    constexpr int twice_as_many = 3;
    move(twice_as_many);
  } else {
    if (tries_ == Tries::nothing) usually_ended_ += (ended / took - usually_ended_) / std::min(windows_ + 1, usual_of);
    judge(window.size + std::log2(ended / took), ended);
  }
}

void ConcurrencyLimit::judge(double done, double ended) {
  if (tries_ == Tries::nothing) {
    ++windows_;
    usual_ += (done - usual_) / std::min(windows_, usual_of);
    if (shuns_less_ > 0) --shuns_less_;
    return choose_next();
  }
  if (stride_ > 1) return judge_stride(done, ended);
  const bool more = tries_ == Tries::more;
  Gain& gain = more ? more_ : less_;
  gain.add(done - usual_, ended);
  // What looks promising is tried again.
  if (gain.mean <= 0) next_ = more ? Tries::less : Tries::more;
  tries_ = Tries::nothing;
  settles_ = true;
  windows_ = 0;
  ++settled_;
  if (!more && less_.mean < not_worth_a_trial) shuns_less_ = between_much_less;
  if (more && more_.sure() > worth_more) move(1);
  if (!more && less_.sure() > worth_less) move(-1);
}

void ConcurrencyLimit::judge_stride(double done, double ended) {
  const bool more = tries_ == Tries::more;
  Gain& gain = more ? more_ : less_;
  gain.add(done - usual_, ended);
  const double above = gain.mean - (more ? worth_twice_as_many : worth_half);
  const bool is_sure = gain.tried >= most_trials_of_a_stride ||
                       std::abs(above) > near * std::sqrt(static_cast<double>(enough) / gain.ended) / gain.tried;
  if (is_sure && above > 0) {
    const bool is_too_little = !more && gain.mean < too_little;
    move(more ? stride_ : -stride_);
    strides_ = !is_too_little;
    if (is_too_little) {
      stride_ = 1;
      next_ = Tries::more;
    }
    // With this limit it has just been.
    usual_ = done;
    windows_ = 1;
    return choose_next();
  }
  if (is_sure) {
    if (!more && gain.mean < not_worth_a_step) shuns_less_ = between_much_less;
    if (more || strides_) stride_ = 1;
    if (stride_ == 1) strides_ = false;
    next_ = more ? Tries::less : Tries::more;
    gain = {};
  }
  tries_ = Tries::nothing;
  settles_ = true;
  windows_ = 0;
}

void ConcurrencyLimit::choose_next() {
  const bool can_more = step()<step_of(most_), can_less = step()> lowest && shuns_less_ == 0;
  const bool one_trial_tells = usually_ended_ * longest_window >= enough_to_tell;
  if (stride_ > 1 && (!one_trial_tells || !(next_ == Tries::more ? can_more : can_less))) {
    stride_ = 1;
    next_ = Tries::more;
  }
  if (windows_ < (stride_ > 1 ? 1 : settled_ < settles_after ? between : between_settled)) return;
  if (next_ == Tries::more && !can_more) next_ = Tries::less;
  if (next_ == Tries::less && !can_less) next_ = can_more ? Tries::more : Tries::nothing;
  tries_ = next_;
  settles_ = tries_ != Tries::nothing;
  if (next_ == Tries::nothing) next_ = Tries::more;
}

}  // namespace millrace::executor
