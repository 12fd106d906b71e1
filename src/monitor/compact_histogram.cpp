#include "monitor/compact_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace millrace {
namespace {

constexpr unsigned bits_a_byte = 7;
constexpr unsigned more = 1U << bits_a_byte;

void append_number(std::string& bytes, std::uint64_t number) {
  for (; number >= more; number >>= bits_a_byte) bytes += static_cast<char>(number | more);
  bytes += static_cast<char>(number);
}

/// Takes a number off the bytes; nothing: they end in it, or it is too large.
std::optional<std::uint64_t> take_number(std::string_view& bytes) {
  std::uint64_t read = 0;
  for (unsigned shift = 0; shift < std::numeric_limits<std::uint64_t>::digits && !bytes.empty(); shift += bits_a_byte) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    read |= std::uint64_t{byte & (more - 1)} << shift;
    if ((byte & more) == 0) return read;
  }
  return std::nullopt;
}

}  // namespace

class CompactHistogram::Reader {
 public:
  explicit Reader(const CompactHistogram& histogram) : bytes_(histogram.bytes_) { next(); }

  bool at_end() const { return at_end_; }
  const BucketCount& current() const { return current_; }

  void next() {
    at_end_ = at_ == bytes_.size();
    if (at_end_) return;
    current_.bucket = static_cast<std::uint16_t>(current_.bucket + number());
    current_.count = number();
  }

 private:
  std::uint64_t number() {
    std::uint64_t read = 0;
    for (unsigned shift = 0;; shift += bits_a_byte) {
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      read |= std::uint64_t{byte & (more - 1)} << shift;
      if ((byte & more) == 0) return read;
    }
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  BucketCount current_ = {.bucket = 0, .count = 0};
  bool at_end_ = false;
};

CompactHistogram::CompactHistogram(std::span<const BucketCount> counts) {
  for (const auto& [bucket, count] : counts) append(bucket, count);
  bytes_.shrink_to_fit();
}

CompactHistogram::CompactHistogram(const HistogramTotals& totals) {
  for (std::size_t bucket = 0; bucket < LogLinear::buckets; ++bucket) {
    if (totals.count_of(bucket) > 0) append(static_cast<std::uint16_t>(bucket), totals.count_of(bucket));
  }
  bytes_.shrink_to_fit();
}

std::optional<CompactHistogram> CompactHistogram::of_bytes(std::string_view bytes) {
  CompactHistogram made;
  for (bool is_first = true; !bytes.empty(); is_first = false) {
    const auto farther = take_number(bytes);
    if (!farther || (*farther == 0 && !is_first) || *farther >= LogLinear::buckets - made.last_) return std::nullopt;
    const auto count = take_number(bytes);
    if (!count || *count == 0) return std::nullopt;
    made.append(static_cast<std::uint16_t>(made.last_ + *farther), *count);
  }
  made.bytes_.shrink_to_fit();
  return made;
}

void CompactHistogram::append(std::uint16_t bucket, std::uint64_t count) {
  append_number(bytes_, static_cast<std::uint64_t>(bucket) - last_);
  append_number(bytes_, count);
  last_ = bucket;
}

CompactHistogram& CompactHistogram::operator+=(const CompactHistogram& other) {
  if (other.empty()) return *this;
  if (empty()) return *this = other;
  CompactHistogram sum;
  sum.bytes_.reserve(std::max(bytes_.size(), other.bytes_.size()) + std::min(bytes_.size(), other.bytes_.size()) / 2);
  Reader mine(*this);
  Reader theirs(other);
  while (!mine.at_end() || !theirs.at_end()) {
    const bool take_mine = !mine.at_end() && (theirs.at_end() || mine.current().bucket <= theirs.current().bucket);
    const bool take_theirs = !theirs.at_end() && (mine.at_end() || theirs.current().bucket <= mine.current().bucket);
    const auto bucket = take_mine ? mine.current().bucket : theirs.current().bucket;
    std::uint64_t count = 0;
    if (take_mine) count += mine.current().count;
    if (take_theirs) count += theirs.current().count;
    sum.append(bucket, count);
    if (take_mine) mine.next();
    if (take_theirs) theirs.next();
  }
  sum.bytes_.shrink_to_fit();
  return *this = std::move(sum);
}

void CompactHistogram::add_to(HistogramTotals& totals) const {
  for (Reader reader(*this); !reader.at_end(); reader.next()) {
    totals.add(reader.current().bucket, reader.current().count);
  }
}

void CompactHistogram::add_scaled_to(HistogramTotals& totals, double factor) const {
  for (Reader reader(*this); !reader.at_end(); reader.next()) {
    const auto [bucket, count] = reader.current();
    const double scaled = factor * static_cast<double>(LogLinear::middle(bucket));
    const double value = std::clamp(scaled, 0.0, static_cast<double>(LogLinear::max_value));
    totals.add(LogLinear::index(static_cast<std::uint64_t>(value)), count);
  }
}

std::uint64_t CompactHistogram::count_beyond(double limit) const {
  std::uint64_t sum = 0;
  for (Reader reader(*this); !reader.at_end(); reader.next()) {
    const auto [bucket, count] = reader.current();
    if (static_cast<double>(LogLinear::middle(bucket)) > limit) sum += count;
  }
  return sum;
}

CompactHistogram CompactHistogram::without_lowest(std::uint64_t count) const {
  CompactHistogram left;
  for (Reader reader(*this); !reader.at_end(); reader.next()) {
    const auto [bucket, of_bucket] = reader.current();
    const std::uint64_t without = std::min(of_bucket, count);
    count -= without;
    if (of_bucket > without) left.append(bucket, of_bucket - without);
  }
  left.bytes_.shrink_to_fit();
  return left;
}

std::uint64_t CompactHistogram::count() const {
  std::uint64_t sum = 0;
  for (Reader reader(*this); !reader.at_end(); reader.next()) sum += reader.current().count;
  return sum;
}

std::uint64_t CompactHistogram::quantile(double q) const {
  const std::uint64_t total = count();
  if (total == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total))));
  std::uint64_t seen = 0;
  for (Reader reader(*this); !reader.at_end(); reader.next()) {
    seen += reader.current().count;
    if (seen >= wanted) return LogLinear::middle(reader.current().bucket);
  }
  return LogLinear::middle(last_);
}

double CompactHistogram::sum_of_logs() const {
  double sum = 0;
  for (Reader reader(*this); !reader.at_end(); reader.next()) {
    const auto [bucket, count] = reader.current();
    const auto value = static_cast<double>(std::max<std::uint64_t>(LogLinear::middle(bucket), 1));
    sum += static_cast<double>(count) * std::log(value);
  }
  return sum;
}

std::size_t CompactHistogram::heap_bytes() const {
  static const std::size_t inside = std::string().capacity();
  return bytes_.capacity() > inside ? bytes_.capacity() + 1 : 0;
}

}  // namespace millrace
