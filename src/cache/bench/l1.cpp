#include <fmt/core.h>
#include <malloc.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cache/bench/bench.hpp"
#include "cache/l1_cache.hpp"

namespace millrace::cache::bench {

namespace {

constexpr std::size_t keys = 50'000;
constexpr std::size_t body_bytes = 1000;
constexpr std::size_t key_bytes = 64;
constexpr std::size_t draws = std::size_t{1} << 20;
constexpr std::size_t threads = 2;
constexpr double skew = 0.99;
constexpr std::int64_t hour = 3'600'000'000'000;

/// A std::unordered_map with LRU behind a mutex, bounded by the number of its entries: what is compared with.
class MutexLru {
 public:
  explicit MutexLru(std::size_t capacity) : capacity_(capacity) {}

  std::shared_ptr<const std::string> find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->second;
  }

  void insert(const std::string& key, std::string body) {
    auto value = std::make_shared<const std::string>(std::move(body));
    const std::lock_guard lock(mutex_);
    if (const auto found = places_.find(key); found != places_.end()) {
      found->second->second = std::move(value);
      order_.splice(order_.begin(), order_, found->second);
      return;
    }
    order_.emplace_front(key, std::move(value));
    places_.emplace(key, order_.begin());
    if (places_.size() <= capacity_) return;
    places_.erase(order_.back().first);
    order_.pop_back();
  }

 private:
  using Order = std::list<std::pair<std::string, std::shared_ptr<const std::string>>>;

  std::mutex mutex_;
  std::size_t capacity_;
  Order order_;
  std::unordered_map<std::string, Order::iterator> places_;
};

struct Random {
  std::uint64_t state;
  std::uint64_t operator()() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
};

/// Ranks by Zipf's law, drawn before anything is measured.
std::vector<std::uint32_t> zipf(std::uint64_t seed) {
  std::vector<double> sums(keys);
  double sum = 0;
  for (std::size_t i = 0; i < keys; ++i) sums[i] = sum += 1 / std::pow(static_cast<double>(i + 1), skew);
  Random random{seed * 0x9E3779B97F4A7C15ULL + 1};
  std::vector<std::uint32_t> ranks(draws);
  for (auto& rank : ranks) {
    const double at = static_cast<double>(random() >> 11) * 0x1p-53 * sum;
    rank = static_cast<std::uint32_t>(std::lower_bound(sums.begin(), sums.end(), at) - sums.begin());
  }
  return ranks;
}

std::string key_of(std::size_t number) {
  std::string key = fmt::format("app SELECT * FROM pages WHERE id = $1 [{}]", number);
  key.resize(key_bytes, '.');
  return key;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Rate {
  double per_s, per_cpu_s;
};

/// Operations a second of two threads that each do `one(rank, step)` along ranks of their own.
template <typename One>
Rate measure(double seconds, const std::vector<std::vector<std::uint32_t>>& ranks, One one) {
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> done = 0;
  std::vector<std::thread> running;
  const double cpu_start = cpu_seconds();
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      std::uint64_t steps = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        for (int i = 0; i < 1024; ++i, ++steps) one(ranks[thread][steps % draws], steps);
      }
      done += steps;
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop = true;
  for (auto& thread : running) thread.join();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  const auto count = static_cast<double>(done);
  return {count / passed.count(), count / (cpu_seconds() - cpu_start)};
}

double resident_bytes() {
  malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  double all = 0, resident = 0;
  statm >> all >> resident;
  return resident * 4096;
}

NewEntry entry_of(std::string_view key, std::string_view body) {
  NewEntry entry;
  entry.key = key;
  entry.hash = hash_of(key);
  entry.body = body;
  entry.now_ns = 0;
  entry.ttl_ns = hour;
  entry.cost_ns = 1'000'000;
  return entry;
}

/// How much resident memory grows while the cache is filled three times over by two threads, over its setting.
double resident_ratio(std::size_t capacity, const Versions& versions, bool sizes_differ) {
  const double before = resident_bytes();
  L1Cache cache(capacity, versions);
  std::vector<std::thread> running;
  const std::size_t count = capacity / body_bytes * 3 / threads;
  for (std::size_t thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      Random random{thread + 1};
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t size =
            sizes_differ
                ? static_cast<std::size_t>(std::exp(6.4 + 1.2 * (static_cast<double>(random() % 4000) / 1000 - 2)))
                : body_bytes;
        cache.insert(entry_of(key_of(thread * count + i), std::string(size, 'x')));
      }
    });
  }
  for (auto& thread : running) thread.join();
  return (resident_bytes() - before) / static_cast<double>(capacity);
}

}  // namespace

int l1(const std::vector<std::string>& arguments) {
  const double seconds = std::stod(arguments.at(0));
  const std::size_t capacity = std::stoull(arguments.at(1)) << 20;
  const auto versions = std::make_unique<Versions>();
  const double rss_ratio = resident_ratio(capacity, *versions, false);
  const double rss_ratio_mixed = resident_ratio(capacity, *versions, true);

  std::string texts;  // of all keys, one behind the other: looking one up shouldn't cost more than finding its entry
  for (std::size_t i = 0; i < keys; ++i) texts += key_of(i);
  const auto name = [&](std::uint32_t rank) { return std::string_view(texts).substr(rank * key_bytes, key_bytes); };
  const std::string body(body_bytes, 'x');
  const std::vector<std::vector<std::uint32_t>> ranks = {zipf(1), zipf(2)};
  const std::vector<Seen> seen = {versions->see(1), versions->see(2)};

  L1Cache cache(std::size_t{512} << 20, *versions);  // all of the keys fit
  const auto insert = [&](std::uint32_t rank) {
    NewEntry entry = entry_of(name(rank), body);
    entry.seen = seen;
    cache.insert(entry);
  };
  for (std::uint32_t rank = 0; rank < keys; ++rank) insert(rank);
  std::atomic<std::uint64_t> missed = 0;
  const auto find = [&](std::uint32_t rank) {
    const std::string_view key = name(rank);
    const EntryPtr entry = cache.find(key, hash_of(key), 1);
    if (!entry || entry->body().size() != body_bytes) ++missed;
  };
  const Rate hits = measure(seconds, ranks, [&](std::uint32_t rank, std::uint64_t) { find(rank); });
  const Rate mixed = measure(
      seconds, ranks, [&](std::uint32_t rank, std::uint64_t step) { step % 10 == 9 ? insert(rank) : find(rank); });

  MutexLru lru(keys);
  for (std::uint32_t rank = 0; rank < keys; ++rank) lru.insert(std::string(name(rank)), body);
  const Rate lru_hits = measure(seconds, ranks, [&](std::uint32_t rank, std::uint64_t) {
    if (!lru.find(std::string(name(rank)))) ++missed;
  });
  const Rate lru_mixed = measure(seconds, ranks, [&](std::uint32_t rank, std::uint64_t step) {
    if (step % 10 == 9) {
      lru.insert(std::string(name(rank)), body);
    } else if (!lru.find(std::string(name(rank)))) {
      ++missed;
    }
  });
  if (missed > 0) {
    fmt::print(stderr, "{} misses where all are hits\n", missed.load());
    return 1;
  }
  fmt::print(
      "{{\"hits_per_s\": {:.0f}, \"mixed_per_s\": {:.0f}, \"mutex_lru_per_s\": {:.0f}, \"mutex_lru_mixed_per_s\": "
      "{:.0f}, "
      "\"per_cpu_s\": {{\"hits\": {:.0f}, \"mixed\": {:.0f}, \"mutex_lru\": {:.0f}, \"mutex_lru_mixed\": {:.0f}}}, "
      "\"rss_ratio\": {:.3f}, \"rss_ratio_of_mixed_sizes\": {:.3f}}}\n",
      hits.per_s, mixed.per_s, lru_hits.per_s, lru_mixed.per_s, hits.per_cpu_s, mixed.per_cpu_s, lru_hits.per_cpu_s,
      lru_mixed.per_cpu_s, rss_ratio, rss_ratio_mixed);
  return 0;
}

}  // namespace millrace::cache::bench
