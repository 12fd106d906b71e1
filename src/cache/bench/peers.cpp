#include "cache/bench/peers.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <unordered_map>
#include <utility>

#include "cache/policy.hpp"

namespace millrace::cache::bench {

namespace {

std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

/// Lists of objects, of which each is in at most one; front is the newest. List 0 is nowhere.
class Lists {
 public:
  Lists(const Trace& trace, std::size_t lists)
      : trace_(trace),
        objects_(trace.sizes.size()),
        next_(objects_ + lists),
        before_(objects_ + lists),
        in_(objects_, 0),
        bytes_(lists, 0) {
    for (std::size_t i = objects_; i < next_.size(); ++i) next_[i] = before_[i] = static_cast<std::uint32_t>(i);
  }

  std::size_t where(std::uint32_t id) const { return in_[id]; }
  std::uint64_t bytes(std::size_t list) const { return bytes_[list]; }
  bool empty(std::size_t list) const { return last(list) >= objects_; }
  std::uint32_t last(std::size_t list) const { return before_[objects_ + list]; }

  void move(std::uint32_t id, std::size_t list) {
    if (const std::size_t old = in_[id]) {
      next_[before_[id]] = next_[id];
      before_[next_[id]] = before_[id];
      bytes_[old] -= trace_.sizes[id];
    }
    in_[id] = static_cast<std::uint8_t>(list);
    if (list == 0) return;
    const auto head = static_cast<std::uint32_t>(objects_ + list);
    next_[id] = next_[head];
    before_[id] = head;
    before_[next_[head]] = id;
    next_[head] = id;
    bytes_[list] += trace_.sizes[id];
  }

 private:
  const Trace& trace_;
  std::size_t objects_;
  std::vector<std::uint32_t> next_, before_;
  std::vector<std::uint8_t> in_;
  std::vector<std::uint64_t> bytes_;
};

class Lru : public Simulated {
 public:
  Lru(const Trace& trace, std::uint64_t capacity) : trace_(trace), capacity_(capacity), lists_(trace, 2) {}

  bool request(std::uint32_t id) override {
    const bool hit = lists_.where(id) != 0;
    if (!hit && trace_.sizes[id] > capacity_) return false;
    lists_.move(id, 1);
    while (lists_.bytes(1) > capacity_) lists_.move(lists_.last(1), 0);
    return hit;
  }

 private:
  const Trace& trace_;
  std::uint64_t capacity_;
  Lists lists_;
};

/// Yang et al., SOSP 2023: a tenth in a small queue, the rest in the main one, both FIFO; a ghost queue as large as the
/// main one.
class S3Fifo : public Simulated {
 public:
  S3Fifo(const Trace& trace, std::uint64_t capacity)
      : trace_(trace),
        small_(std::max<std::uint64_t>(1, capacity / 10)),
        main_(capacity - std::min(capacity, small_)),
        lists_(trace, 4),
        used_(trace.sizes.size(), 0) {}

  bool request(std::uint32_t id) override {
    const std::size_t where = lists_.where(id);
    if (where == in_small || where == in_main) {
      used_[id] = static_cast<std::uint8_t>(std::min(used_[id] + 1, 3));
      return true;
    }
    if (trace_.sizes[id] > small_ + main_) return false;
    used_[id] = 0;
    lists_.move(id, where == ghost && main_ >= trace_.sizes[id] ? in_main : in_small);
    while (lists_.bytes(in_small) + lists_.bytes(in_main) > small_ + main_) {
      if (lists_.bytes(in_small) > small_ || lists_.empty(in_main)) {
        evict_small();
      } else {
        evict_main();
      }
    }
    return false;
  }

 private:
  enum : std::uint8_t { nowhere, in_small, in_main, ghost };

  void evict_small() {
    const std::uint32_t id = lists_.last(in_small);
    if (used_[id] > 1) {
      used_[id] = 0;
      lists_.move(id, in_main);
      while (lists_.bytes(in_main) > main_) evict_main();
      return;
    }
    lists_.move(id, ghost);
    while (lists_.bytes(ghost) > main_) lists_.move(lists_.last(ghost), nowhere);
  }

  void evict_main() {
    for (;;) {
      const std::uint32_t id = lists_.last(in_main);
      if (used_[id] == 0) {
        lists_.move(id, nowhere);
        return;
      }
      --used_[id];
      lists_.move(id, in_main);
    }
  }

  const Trace& trace_;
  std::uint64_t small_, main_;
  Lists lists_;
  std::vector<std::uint8_t> used_;
};

/// Megiddo and Modha, FAST 2003, with bytes in place of pages.
class Arc : public Simulated {
 public:
  Arc(const Trace& trace, std::uint64_t capacity) : trace_(trace), capacity_(capacity), lists_(trace, 5) {}

  bool request(std::uint32_t id) override {
    const std::size_t where = lists_.where(id);
    const std::uint64_t size = trace_.sizes[id];
    if (where == t1 || where == t2) {
      lists_.move(id, t2);
      return true;
    }
    if (size > capacity_) return false;
    const auto b1_bytes = static_cast<double>(lists_.bytes(b1)), b2_bytes = static_cast<double>(lists_.bytes(b2));
    const auto step = static_cast<double>(size);
    if (where == b1)
      target_ = std::min(static_cast<double>(capacity_), target_ + step * std::max(1.0, b2_bytes / b1_bytes));
    if (where == b2) target_ = std::max(0.0, target_ - step * std::max(1.0, b1_bytes / b2_bytes));
    while (lists_.bytes(t1) + lists_.bytes(t2) + size > capacity_) replace(where == b2);
    lists_.move(id, where == nowhere ? t1 : t2);
    while (!lists_.empty(b1) && lists_.bytes(t1) + lists_.bytes(b1) > capacity_) lists_.move(lists_.last(b1), nowhere);
    while (!lists_.empty(b2) &&
           lists_.bytes(t1) + lists_.bytes(t2) + lists_.bytes(b1) + lists_.bytes(b2) > 2 * capacity_) {
      lists_.move(lists_.last(b2), nowhere);
    }
    return false;
  }

 private:
  enum : std::uint8_t { nowhere, t1, t2, b1, b2 };

  void replace(bool from_b2) {
    const auto t1_bytes = static_cast<double>(lists_.bytes(t1));
    if (!lists_.empty(t1) && (t1_bytes > target_ || (from_b2 && t1_bytes == target_) || lists_.empty(t2))) {
      lists_.move(lists_.last(t1), b1);
    } else {
      lists_.move(lists_.last(t2), b2);
    }
  }

  const Trace& trace_;
  std::uint64_t capacity_;
  double target_ = 0;
  Lists lists_;
};

/// Einziger et al.: a window of 1 % with LRU, a main part with segmented LRU, between them a sketch of frequencies.
class WTinyLfu : public Simulated {
 public:
  WTinyLfu(const Trace& trace, std::uint64_t capacity)
      : trace_(trace),
        window_(std::max<std::uint64_t>(1, capacity / 100)),
        main_(capacity - std::min(capacity, window_)),
        lists_(trace, 4) {
    std::uint64_t footprint = 0;
    for (const auto size : trace.sizes) footprint += size;
    const double share = static_cast<double>(capacity) / static_cast<double>(footprint);
    const auto objects = static_cast<std::size_t>(share * static_cast<double>(trace.sizes.size())) + 1;
    width_ = std::bit_ceil(std::max<std::size_t>(objects, 16));
    for (auto& row : rows_) row.assign(width_, 0);
    period_ = 10 * std::max<std::size_t>(objects, 16);
  }

  bool request(std::uint32_t id) override {
    count(id);
    const std::size_t where = lists_.where(id);
    if (where != nowhere) {
      lists_.move(id, where == window ? window : kept);
      while (lists_.bytes(kept) > main_ * 8 / 10) lists_.move(lists_.last(kept), probation);
      return true;
    }
    if (trace_.sizes[id] > window_ + main_) return false;
    lists_.move(id, window);
    while (lists_.bytes(window) > window_) {
      const std::uint32_t candidate = lists_.last(window);
      admit(candidate);
    }
    return false;
  }

 private:
  enum : std::uint8_t { nowhere, window, probation, kept };

  void admit(std::uint32_t candidate) {
    lists_.move(candidate, nowhere);
    if (trace_.sizes[candidate] > main_) return;
    while (lists_.bytes(probation) + lists_.bytes(kept) + trace_.sizes[candidate] > main_) {
      const std::uint32_t victim = lists_.last(lists_.empty(probation) ? kept : probation);
      if (frequency(candidate) <= frequency(victim)) return;
      lists_.move(victim, nowhere);
    }
    lists_.move(candidate, probation);
  }

  std::size_t place(std::uint32_t id, std::size_t row) const { return mix(id * std::uint64_t{4} + row) & (width_ - 1); }
  int frequency(std::uint32_t id) const {
    int least = 15;
    for (std::size_t row = 0; row < rows_.size(); ++row) least = std::min<int>(least, rows_[row][place(id, row)]);
    return least;
  }
  void count(std::uint32_t id) {
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      auto& one = rows_[row][place(id, row)];
      if (one < 15) ++one;
    }
    if (++counted_ < period_) return;
    counted_ /= 2;
    for (auto& row : rows_) {
      for (auto& one : row) one /= 2;
    }
  }

  const Trace& trace_;
  std::uint64_t window_, main_;
  Lists lists_;
  std::size_t width_ = 0, period_ = 0, counted_ = 0;
  std::array<std::vector<std::uint8_t>, 4> rows_;
};

/// Cherkasova 1998: the clock at the last use plus frequency × cost ÷ size.
class Gdsf : public Simulated {
 public:
  Gdsf(const Trace& trace, std::uint64_t capacity)
      : trace_(trace), capacity_(capacity), priority_(trace.sizes.size(), -1), frequency_(trace.sizes.size(), 0) {}

  bool request(std::uint32_t id) override {
    const bool hit = priority_[id] >= 0;
    if (!hit && trace_.sizes[id] > capacity_) return false;
    if (hit) {
      order_.erase({priority_[id], id});
    } else {
      frequency_[id] = 0;
      used_ += trace_.sizes[id];
      while (used_ > capacity_ && !order_.empty()) {
        const auto [priority, victim] = *order_.begin();
        order_.erase(order_.begin());
        clock_ = priority;
        priority_[victim] = -1;
        used_ -= trace_.sizes[victim];
      }
    }
    ++frequency_[id];
    priority_[id] = clock_ + static_cast<double>(frequency_[id]) * trace_.costs[id] / trace_.sizes[id];
    order_.emplace(priority_[id], id);
    return hit;
  }

 private:
  const Trace& trace_;
  std::uint64_t capacity_, used_ = 0;
  double clock_ = 0;
  std::vector<double> priority_;
  std::vector<std::uint32_t> frequency_;
  std::set<std::pair<double, std::uint32_t>> order_;
};

/// The policy that the cache runs.
class Millrace : public Simulated {
 public:
  Millrace(const Trace& trace, std::uint64_t capacity)
      : trace_(trace), capacity_(capacity), nodes_(trace.sizes.size()) {
    for (std::size_t id = 0; id < nodes_.size(); ++id) {
      nodes_[id].hash = mix(id);
      nodes_[id].bytes = trace.sizes[id];
      nodes_[id].cost = trace.costs[id];
    }
    in_.assign(nodes_.size(), false);
  }

  bool request(std::uint32_t id) override {
    if (in_[id]) {
      policy_.hit(nodes_[id]);
      return true;
    }
    if (trace_.sizes[id] > capacity_) return false;
    policy_.insert(nodes_[id]);
    in_[id] = true;
    used_ += trace_.sizes[id];
    while (used_ > capacity_) {
      const auto victim = static_cast<std::size_t>(policy_.evict() - nodes_.data());
      in_[victim] = false;
      used_ -= trace_.sizes[victim];
    }
    return false;
  }

 private:
  const Trace& trace_;
  std::uint64_t capacity_, used_ = 0;
  std::vector<PolicyNode> nodes_;
  std::vector<bool> in_;
  Policy policy_;
};

}  // namespace

std::unique_ptr<Simulated> make_simulated(const std::string& policy, const Trace& trace, std::uint64_t capacity) {
  if (policy == "lru") return std::make_unique<Lru>(trace, capacity);
  if (policy == "s3fifo") return std::make_unique<S3Fifo>(trace, capacity);
  if (policy == "arc") return std::make_unique<Arc>(trace, capacity);
  if (policy == "wtinylfu") return std::make_unique<WTinyLfu>(trace, capacity);
  if (policy == "gdsf") return std::make_unique<Gdsf>(trace, capacity);
  if (policy == "millrace") return std::make_unique<Millrace>(trace, capacity);
  return nullptr;
}

}  // namespace millrace::cache::bench
