#include "cache/policy.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace millrace::cache {

namespace {

constexpr std::size_t ghosts_a_bucket = 8;
constexpr std::size_t min_ghosts = 64;
constexpr float max_frequency = 1024;
// Chosen by bench/miss_ratio and made traces; the optimum is flat: from 0.25 to 1, from 0.8 to 0.97.
constexpr double once_part = 0.5;
constexpr double futile_from = 0.9;
constexpr double futile_rate = 0.01;
constexpr double max_in_passing = 0.95;
constexpr double passing_part = 0.01;

std::uint32_t print_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32) | 1; }

}  // namespace

Policy::Policy() : ghosts_(min_ghosts) {}

double Policy::worth(const PolicyNode& node) const {
  const double part = node.frequency_ < 2 ? once_part : static_cast<double>(node.frequency_);
  return part * node.cost / static_cast<double>(node.bytes);
}

void Policy::settle(PolicyNode& node) {
  const auto hits = node.hits_.exchange(0, std::memory_order_relaxed);
  if (hits == 0) return;
  node.settled_hits_.fetch_add(hits, std::memory_order_relaxed);
  node.frequency_ = std::min(node.frequency_ + static_cast<float>(hits), max_frequency);
}

void Policy::insert(PolicyNode& node) {
  node.frequency_ = recall(node) + 1;
  const double clock = clock_.load(std::memory_order_relaxed);
  node.touched_.store(clock, std::memory_order_relaxed);
  node.frequency_before_ = node.frequency_;
  double value = worth(node);
  node.stay_ = node.frequency_ > 1 ? PolicyNode::Stay::returned : PolicyNode::Stay::first;
  if (node.stay_ == PolicyNode::Stay::returned && only_in_passing()) {
    node.stay_ = PolicyNode::Stay::in_passing;
    value *= passing_part;
  }
  add(node, clock + value);
}

void Policy::replace(PolicyNode& old, PolicyNode& fresh) {
  settle(old);
  fresh.frequency_ = std::min(old.frequency_ + 1, max_frequency);
  const double clock = clock_.load(std::memory_order_relaxed);
  fresh.touched_.store(clock, std::memory_order_relaxed);
  erase(old);
  add(fresh, clock + worth(fresh));
}

void Policy::erase(PolicyNode& node) {
  const std::size_t place = node.place_;
  assert(place < heap_.size() && heap_[place].node == &node);
  const Ranked last = heap_.back();
  heap_.pop_back();
  if (last.node == &node) return;
  if (place > 0 && last.priority < heap_[(place - 1) / 2].priority) {
    sift_up(place, last);
  } else {
    sift_down(place, last);
  }
}

PolicyNode* Policy::evict() {
  // An entry that is hit again and again while we look must not keep us here.
  for (std::size_t looks = 2 * heap_.size(); !heap_.empty(); --looks) {
    Ranked least = heap_.front();
    if (least.node->hits_.load(std::memory_order_relaxed) > 0 && looks > 0) {
      settle(*least.node);
      least.priority = least.node->touched_.load(std::memory_order_relaxed) + worth(*least.node);
      sift_down(0, least);
      continue;
    }
    settle(*least.node);
    if (least.node->stay_ == PolicyNode::Stay::returned) {
      const bool used = least.node->frequency_ > least.node->frequency_before_;
      futile_ += futile_rate * ((used ? 0.0 : 1.0) - futile_);
    }
    if (least.priority > clock_.load(std::memory_order_relaxed)) {
      clock_.store(least.priority, std::memory_order_relaxed);
    }
    erase(*least.node);
    remember(*least.node);
    return least.node;
  }
  return nullptr;
}

bool Policy::only_in_passing() {
  const double share = std::min(max_in_passing, (futile_ - futile_from) / (1 - futile_from));
  random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
  return static_cast<double>(random_ >> 11) * 0x1p-53 < share;
}

void Policy::clear() {
  heap_ = {};
  ghosts_.assign(min_ghosts, {});
}

std::size_t Policy::memory_bytes() const {
  return heap_.capacity() * sizeof(Ranked) + ghosts_.capacity() * sizeof(Ghost);
}

void Policy::add(PolicyNode& node, double priority) {
  heap_.push_back({priority, &node});
  sift_up(heap_.size() - 1, heap_.back());
}

void Policy::put(std::size_t place, Ranked ranked) {
  heap_[place] = ranked;
  ranked.node->place_ = static_cast<std::uint32_t>(place);
}

void Policy::sift_up(std::size_t place, Ranked ranked) {
  while (place > 0) {
    const std::size_t parent = (place - 1) / 2;
    if (heap_[parent].priority <= ranked.priority) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, ranked);
}

void Policy::sift_down(std::size_t place, Ranked ranked) {
  for (;;) {
    std::size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].priority < heap_[child].priority) ++child;
    if (ranked.priority <= heap_[child].priority) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, ranked);
}

Policy::Ghost* Policy::bucket(std::uint64_t hash) {
  return ghosts_.data() + (hash & (ghosts_.size() / ghosts_a_bucket - 1)) * ghosts_a_bucket;
}

void Policy::remember(const PolicyNode& node) {
  // As many as twice the entries; those of the smaller table are forgotten.
  if (ghosts_.size() < 2 * heap_.size()) ghosts_.assign(std::bit_ceil(4 * heap_.size()), {});
  Ghost* first = bucket(node.hash);
  std::move_backward(first, first + ghosts_a_bucket - 1, first + ghosts_a_bucket);
  *first = {print_of(node.hash), node.frequency_};
}

float Policy::recall(const PolicyNode& node) {
  Ghost* first = bucket(node.hash);
  for (Ghost* ghost = first; ghost != first + ghosts_a_bucket; ++ghost) {
    if (ghost->print != print_of(node.hash)) continue;
    const float frequency = ghost->frequency;
    *ghost = {};
    return frequency;
  }
  return 0;
}

}  // namespace millrace::cache
