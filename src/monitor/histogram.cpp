#include "monitor/histogram.hpp"

#include <cmath>
#include <numeric>

namespace millrace {

HistogramTotals& HistogramTotals::operator+=(const HistogramTotals& other) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  sum_ += other.sum_;
  return *this;
}

HistogramTotals& HistogramTotals::operator-=(const HistogramTotals& earlier) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] -= earlier.counts_[i];
  sum_ -= earlier.sum_;
  return *this;
}

std::uint64_t HistogramTotals::count() const { return std::reduce(counts_.begin(), counts_.end()); }

std::uint64_t HistogramTotals::quantile(double q) const {
  const std::uint64_t total = count();
  if (total == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= wanted) return LogLinear::middle(i);
  }
  return LogLinear::max_value;
}

std::uint64_t HistogramTotals::count_up_to(std::uint64_t limit) const {
  if (limit >= LogLinear::max_value) return count();
  const auto end = counts_.begin() + static_cast<std::ptrdiff_t>(LogLinear::index(limit + 1));
  return std::reduce(counts_.begin(), end);
}

void Histogram::add_to(HistogramTotals& totals) const {
  for (std::size_t i = 0; i < counts_.size(); ++i) totals.add(i, counts_[i].get());
  totals.add_sum(sum_.get());
}

void Histogram::clear() noexcept {
  for (Counter& count : counts_) count.set(0);
  sum_.set(0);
}

}  // namespace millrace
