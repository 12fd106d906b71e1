#include "pipeline/flights.hpp"

#include <array>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

namespace millrace::pipeline {

struct Flights::Shards {
  using Waiting = std::vector<std::function<void()>>;
  struct Shard {
    std::mutex mutex;
    boost::unordered_flat_map<std::uint64_t, Waiting> flights;
  };

  Shard& of(std::uint64_t key) { return shards[key % shards.size()]; }

  std::array<Shard, 16> shards;
  std::atomic<std::size_t> under_way = 0;
};

Flights::Flights() : shards_(std::make_shared<Shards>()) {}

std::shared_ptr<const void> Flights::lead(std::uint64_t key) {
  auto& shard = shards_->of(key);
  {
    const std::scoped_lock lock(shard.mutex);
    if (!shard.flights.try_emplace(key).second) return nullptr;
  }
  shards_->under_way.fetch_add(1, std::memory_order_relaxed);
  const auto land = [key, shards = shards_](const void*) {
    Shards::Waiting waiting;
    {
      auto& led = shards->of(key);
      const std::scoped_lock lock(led.mutex);
      const auto found = led.flights.find(key);
      waiting = std::move(found->second);
      led.flights.erase(found);
    }
    shards->under_way.fetch_sub(1, std::memory_order_relaxed);
    for (const auto& landed : waiting) landed();
  };
  return {shards_.get(), land};
}

bool Flights::is_led(std::uint64_t key) const {
  if (shards_->under_way.load(std::memory_order_relaxed) == 0) return false;
  auto& shard = shards_->of(key);
  const std::scoped_lock lock(shard.mutex);
  return shard.flights.contains(key);
}

bool Flights::wait(std::uint64_t key, std::function<void()> landed) {
  auto& shard = shards_->of(key);
  const std::scoped_lock lock(shard.mutex);
  const auto found = shard.flights.find(key);
  if (found == shard.flights.end() || found->second.size() >= most_waiting) return false;
  found->second.push_back(std::move(landed));
  return true;
}

}  // namespace millrace::pipeline
