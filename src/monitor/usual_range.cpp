#include "monitor/usual_range.hpp"

#include <algorithm>
#include <cmath>

namespace millrace {

void UsualRange::add(double value) {
  if (until_next_ > 0) {
    --until_next_;
    return;
  }
  if (size_ == most && stride_ < largest_stride) thin();
  until_next_ = stride_ - 1;
  if (size_ < most) {
    in_time_[size_] = value;
  } else {
    remove(in_time_[oldest_]);
    in_time_[oldest_] = value;
    oldest_ = (oldest_ + 1) % most;
  }
  insert(value);
}

/// Of two each one goes, and from now on half as many come.
void UsualRange::thin() {
  for (std::size_t i = 0; i < most / 2; ++i) in_time_[i] = in_time_[2 * i + 1];
  size_ = most / 2;
  std::copy_n(in_time_.begin(), size_, sorted_.begin());
  std::sort(sorted_.begin(), sorted_.begin() + static_cast<std::ptrdiff_t>(size_));
  stride_ *= 2;
}

void UsualRange::insert(double value) {
  const auto end = sorted_.begin() + static_cast<std::ptrdiff_t>(size_);
  const auto place = std::upper_bound(sorted_.begin(), end, value);
  std::copy_backward(place, end, end + 1);
  *place = value;
  ++size_;
}

void UsualRange::remove(double value) {
  const auto end = sorted_.begin() + static_cast<std::ptrdiff_t>(size_);
  const auto place = std::lower_bound(sorted_.begin(), end, value);
  std::copy(place + 1, end, place);
  --size_;
}

double UsualRange::quantile(double share) const {
  if (size_ == 0) return 0;
  const double place = share * static_cast<double>(size_ - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, size_ - 1);
  return std::lerp(sorted_[below], sorted_[above], place - static_cast<double>(below));
}

double UsualRange::rank(double value) const {
  const auto end = sorted_.begin() + static_cast<std::ptrdiff_t>(size_);
  const auto [first, last] = std::equal_range(sorted_.begin(), end, value);
  const double below = 0.5 * static_cast<double>((first - sorted_.begin()) + (last - sorted_.begin()));
  const auto all = static_cast<double>(size_);
  return (below + 0.5) / (all + 1);
}

double UsualRange::scale() const {
  constexpr double quartiles_of_normal = 1.349;
  return (quantile(0.75) - quantile(0.25)) / quartiles_of_normal;
}

}  // namespace millrace
