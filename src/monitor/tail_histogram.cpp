#include "monitor/tail_histogram.hpp"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr double share_of_tail = 0.02;
// As many values as this, with this exponent, are believed in before any is seen.
constexpr double believed_values = 6;
constexpr double believed_excess = 0.4;
// Nothing is less likely than what was seen in so many values, to this power.
constexpr double reach = 2.5;
constexpr double largest_weight = 1e6;
const double growth = std::exp2(1 / TailHistogram::half_life);

}  // namespace

std::size_t TailHistogram::index(double magnitude) {
  if (!(magnitude > 0)) return 0;
  const double place = (std::log2(magnitude) - lowest_octave) * per_octave;
  return static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(buckets - 1)));
}

double TailHistogram::lower(std::size_t bucket) {
  return bucket == 0 ? 0 : std::exp2(static_cast<double>(bucket) / per_octave + lowest_octave);
}

void TailHistogram::add(double magnitude) {
  const std::size_t bucket = index(magnitude);
  weights_[bucket] += static_cast<float>(weight_of_next_);
  total_ += weight_of_next_;
  used_ = std::max(used_, bucket + 1);
  weight_of_next_ *= growth;
  if (weight_of_next_ < largest_weight) return;
  for (float& weight : weights_) weight /= static_cast<float>(largest_weight);
  total_ /= largest_weight;
  weight_of_next_ /= largest_weight;
}

double TailHistogram::surprise(double magnitude, double floor) const {
  if (total_ <= 0 || magnitude <= floor) return 0;
  const std::size_t own = index(magnitude);
  const double tail = total_ * share_of_tail;
  double above = 0;  // the weight of the buckets from `edge` on
  std::size_t edge = used_;
  while (edge > 0 && above < tail) above += weights_[--edge];
  const double most = reach * std::log10(total_ / weight_of_next_ + 1);
  if (own <= edge) {
    for (std::size_t bucket = edge; bucket-- > own;) above += weights_[bucket];
    return std::clamp(-std::log10(above / total_), 0.0, std::max(most, 0.0));
  }
  const double from = std::max(lower(edge), floor);
  if (from <= 0) return most;
  double excess = 0;  // of the logarithms over that of `from`
  for (std::size_t bucket = edge + 1; bucket < used_; ++bucket) {
    const double middle = lower(bucket) * std::exp2(0.5 / per_octave);
    if (middle > from) excess += weights_[bucket] * std::log(middle / from);
  }
  const double values = above / weight_of_next_;
  excess = (excess / weight_of_next_ + believed_values * believed_excess) / (values + believed_values);
  // As uncertain as an estimate from so few is, to the side that surprises less.
  excess *= 1 + 1 / std::sqrt(values + believed_values);
  const double share = std::min(above / total_, 1.0);
  const double surprise = -std::log10(share) + std::max(std::log(magnitude / from), 0.0) / excess / std::log(10.0);
  return std::clamp(surprise, 0.0, most);
}

}  // namespace millrace
