#include "monitor/seasonal_memory.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace millrace {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min();

}  // namespace

SeasonalMemory::SeasonalMemory(double period, int slots, int rounds)
    : period_(period),
      slots_(slots),
      rounds_(rounds),
      ranges_(static_cast<std::size_t>(slots) * static_cast<std::size_t>(rounds),
              Range{.least = 0, .most = 0, .mean = 0, .count = 0, .round = never}) {}

std::int64_t SeasonalMemory::round_of(double at) const { return static_cast<std::int64_t>(std::floor(at / period_)); }

int SeasonalMemory::slot_of(double at) const {
  const double phase = at / period_ - std::floor(at / period_);
  return std::min(static_cast<int>(phase * slots_), slots_ - 1);
}

SeasonalMemory::Range& SeasonalMemory::range(std::int64_t round, int slot) {
  const auto row = static_cast<std::size_t>(((round % rounds_) + rounds_) % rounds_);
  return ranges_[row * static_cast<std::size_t>(slots_) + static_cast<std::size_t>(slot)];
}

const SeasonalMemory::Range& SeasonalMemory::range(std::int64_t round, int slot) const {
  return const_cast<SeasonalMemory*>(this)->range(round, slot);
}

void SeasonalMemory::add(double at, double value) {
  if (!began_is_set_ || at < began_) {
    began_ = at;
    began_is_set_ = true;
  }
  rounds_seen_ = static_cast<std::int64_t>((at - began_) / period_);
  const std::int64_t round = round_of(at);
  Range& here = range(round, slot_of(at));
  constexpr double most = std::numeric_limits<float>::max();
  const auto one = static_cast<float>(std::clamp(value, -most, most));
  if (here.round != round) {
    here = {.least = one, .most = one, .mean = one, .count = 1, .round = round};
  } else {
    here.least = std::min(here.least, one);
    here.most = std::max(here.most, one);
    ++here.count;
    here.mean += (one - here.mean) / static_cast<float>(here.count);
  }
}

double SeasonalMemory::distance(double at, double value) const {
  const std::int64_t now = round_of(at);
  const int here = slot_of(at);
  double least = std::numeric_limits<double>::infinity();
  double most = -least;
  for (std::int64_t back = 1; back < rounds_; ++back) {
    for (int step = -1; step <= 1; ++step) {
      std::int64_t round = now - back;
      int slot = here + step;
      if (slot < 0) {
        slot += slots_;
        --round;
      } else if (slot >= slots_) {
        slot -= slots_;
        ++round;
      }
      if (round >= now) continue;
      const Range& seen = range(round, slot);
      if (seen.round != round) continue;
      least = std::min(least, static_cast<double>(seen.least));
      most = std::max(most, static_cast<double>(seen.most));
    }
  }
  if (least > most) return std::numeric_limits<double>::quiet_NaN();
  return std::max({value - most, least - value, 0.0});
}

double SeasonalMemory::expected(double at) const {
  const std::int64_t now = round_of(at);
  const int here = slot_of(at);
  double sum = 0;
  int count = 0;
  for (std::int64_t back = 1; back < rounds_; ++back) {
    const Range& seen = range(now - back, here);
    if (seen.round != now - back) continue;
    sum += seen.mean;
    ++count;
  }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / count;
}

}  // namespace millrace
