#include "pipeline/payoff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace millrace::pipeline {
namespace {

constexpr std::uint32_t enough = 64;   // asked, before anything is decided
constexpr std::uint32_t window = 512;  // asked, before all that was counted counts half
constexpr float part = 1.0F / 16;      // of a mean, each new one

std::uint64_t mixed(std::uint64_t word) {
  word = (word ^ (word >> 32)) * 0x9E3779B97F4A7C15;
  return word ^ (word >> 29);
}

double us(double ns) { return ns / 1000; }

}  // namespace

double PayoffFigures::break_even() const {
  if (origin_ns == 0) return 0;
  const double saved = origin_ns - hit_ns;
  return saved <= 0 ? 2 : miss_extra_ns / (miss_extra_ns + saved);
}

std::string words_of(const PayoffFigures& figures) {
  const auto costs =
      fmt::format("{:.1f} us from memory, {:.1f} us from the server, {:.1f} us more where memory is asked in vain",
                  us(figures.hit_ns), us(figures.origin_ns), us(figures.miss_extra_ns));
  if (figures.break_even() > 1) return "an answer from memory takes no less than one from the server: " + costs;
  return fmt::format("{:.1f} % were answered from memory of late, and over {:.1f} % would pay: {}",
                     100 * figures.hit_ratio, 100 * figures.break_even(), costs);
}

void Payoff::learn(std::atomic<float>& mean, std::int64_t ns) {
  const float now = static_cast<float>(ns);
  const float was = mean.load(std::memory_order_relaxed);
  mean.store(was == 0 ? now : was + (now - was) * part, std::memory_order_relaxed);
}

void Payoff::begin_counting(std::int64_t now) {
  hits_.store(0, std::memory_order_relaxed);
  misses_.store(0, std::memory_order_relaxed);
  hits_waited_ns_.store(0, std::memory_order_relaxed);
  misses_waited_ns_.store(0, std::memory_order_relaxed);
  counted_since_.store(now, std::memory_order_relaxed);
}

void Payoff::count_half(std::int64_t now, std::int64_t since) {
  const auto halve = [](auto& count) {
    count.store(count.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
  };
  halve(hits_);
  halve(misses_);
  halve(hits_waited_ns_);
  halve(misses_waited_ns_);
  counted_since_.store(now - (now - since) / 2, std::memory_order_relaxed);
}

void Payoff::missed(std::int64_t now, std::int64_t waited) {
  add(misses_);
  add_wait(misses_waited_ns_, waited);
  const auto began = trial_began_.load(std::memory_order_relaxed);
  if (began == 0) return trial_began_.store(now, std::memory_order_relaxed);
  if (now - began < trial_ns / 2) return;
  const auto since = counted_since_.load(std::memory_order_relaxed);
  if (since == 0) return begin_counting(now);
  const std::int64_t counted = weight();
  if (now - began < trial_ns || now - since < trial_ns / 2 || counted < enough) return;
  const auto known = figures();
  if (counted * 1'000'000'000 < rarely * (now - since)) return begin_counting(now);
  if (known.pays()) {
    pause_ns_.store(0, std::memory_order_relaxed);
    if (counted >= window) count_half(now, since);
    return;
  }
  const auto pause = std::clamp(pause_ns_.load(std::memory_order_relaxed) * 2, first_pause_ns, longest_pause_ns);
  const auto looking = static_cast<double>(hit_ns_.load(std::memory_order_relaxed));
  const auto filling = static_cast<double>(fill_ns_.load(std::memory_order_relaxed));
  last_ratio_.store(static_cast<float>(known.hit_ratio), std::memory_order_relaxed);
  last_hit_wait_ns_.store(static_cast<float>(known.hit_ns - looking), std::memory_order_relaxed);
  last_miss_wait_ns_.store(static_cast<float>(known.miss_extra_ns - looking - filling), std::memory_order_relaxed);
  pause_ns_.store(pause, std::memory_order_relaxed);
  passed_until_.store(now + pause, std::memory_order_relaxed);
  trial_began_.store(0, std::memory_order_relaxed);
  begin_counting(0);
}

/// Asking in vain takes about as long as a hit does beside waiting.
PayoffFigures Payoff::figures() const {
  const double looking = hit_ns_.load(std::memory_order_relaxed);
  const double asking_in_vain = looking + static_cast<double>(fill_ns_.load(std::memory_order_relaxed));
  const double origin = origin_ns_.load(std::memory_order_relaxed);
  const auto hits = hits_.load(std::memory_order_relaxed);
  const auto misses = misses_.load(std::memory_order_relaxed);
  const double last = last_ratio_.load(std::memory_order_relaxed);
  if (hits + misses < enough && last >= 0) {
    return {.origin_ns = origin,
            .hit_ns = looking + static_cast<double>(last_hit_wait_ns_.load(std::memory_order_relaxed)),
            .miss_extra_ns = asking_in_vain + static_cast<double>(last_miss_wait_ns_.load(std::memory_order_relaxed)),
            .hit_ratio = last};
  }
  const auto mean = [](const std::atomic<std::int64_t>& sum, std::uint32_t count) {
    return static_cast<double>(sum.load(std::memory_order_relaxed)) / std::max(count, 1U);
  };
  return {.origin_ns = origin,
          .hit_ns = looking + mean(hits_waited_ns_, hits),
          .miss_extra_ns = asking_in_vain + mean(misses_waited_ns_, misses),
          .hit_ratio = static_cast<double>(hits) / std::max(hits + misses, 1U)};
}

void Payoff::clear() {
  for (auto* const moment : {&passed_until_, &pause_ns_, &trial_began_}) moment->store(0, std::memory_order_relaxed);
  for (auto* const mean : {&origin_ns_, &hit_ns_, &fill_ns_}) mean->store(0, std::memory_order_relaxed);
  last_ratio_.store(-1, std::memory_order_relaxed);
  begin_counting(0);
}

Payoffs::Payoffs() : seed_(mixed(std::random_device{}()) ^ std::random_device{}()), sets_(new Set[most / ways]) {}

std::uint64_t Payoffs::tag_of(std::uint64_t fingerprint, cache::Dependency everything, Consistency::Level level) const {
  return mixed(mixed(fingerprint ^ seed_) + everything + static_cast<std::uint64_t>(level)) | 1;
}

Payoff* Payoffs::find(std::uint64_t fingerprint, cache::Dependency everything, Consistency::Level level) const {
  const auto tag = tag_of(fingerprint, everything, level);
  Set& set = set_of(tag);
  for (std::size_t way = 0; way < ways; ++way) {
    if (set.tags[way].load(std::memory_order_relaxed) == tag) return &set.payoffs[way];
  }
  return nullptr;
}

Payoff& Payoffs::make(std::uint64_t fingerprint, cache::Dependency everything, Consistency::Level level) {
  if (auto* const found = find(fingerprint, everything, level)) return *found;
  const auto tag = tag_of(fingerprint, everything, level);
  Set& set = set_of(tag);
  std::size_t least = 0;
  for (std::size_t way = 0; way < ways; ++way) {
    if (set.tags[way].load(std::memory_order_relaxed) == 0) {
      least = way;
      break;
    }
    if (set.payoffs[way].weight() < set.payoffs[least].weight()) least = way;
  }
  set.payoffs[least].clear();
  set.tags[least].store(tag, std::memory_order_relaxed);
  return set.payoffs[least];
}

}  // namespace millrace::pipeline
