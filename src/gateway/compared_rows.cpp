#include "gateway/compared_rows.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <random>

namespace millrace::gateway {
namespace {

std::uint64_t secret() {
  static const std::uint64_t one = [] {
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
  }();
  return one;
}

}  // namespace

void ComparedRows::add(pgwire::Bytes data_row) {
  const auto hash = XXH3_128bits_withSeed(data_row.data(), data_row.size(), secret());
  ++rows_;
  // A sum, not an exclusive or: a row that is there twice counts.
  multiset_.low += hash.low64;
  multiset_.high += hash.high64 + (multiset_.low < hash.low64 ? 1 : 0);
  const std::uint64_t chained[] = {sequence_.low, sequence_.high, hash.low64, hash.high64};
  const auto next = XXH3_128bits_withSeed(chained, sizeof chained, secret());
  sequence_ = {.low = next.low64, .high = next.high64};
}

bool ComparedRows::same_rows(const ComparedRows& other) const {
  return rows_ == other.rows_ && multiset_ == other.multiset_;
}

bool ComparedRows::same_order(const ComparedRows& other) const {
  return rows_ == other.rows_ && sequence_ == other.sequence_;
}

}  // namespace millrace::gateway
