#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <numbers>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache/bench/bench.hpp"
#include "cache/bench/peers.hpp"

namespace millrace::cache::bench {

namespace {

constexpr std::array shares = {0.001, 0.01, 0.1, 0.2};
constexpr std::array policies = {"millrace", "lru", "s3fifo", "arc", "wtinylfu", "gdsf"};

std::vector<std::uint64_t> read_ids(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::uint64_t> ids(bytes.size() / sizeof(std::uint64_t));
  std::copy_n(bytes.data(), ids.size() * sizeof(std::uint64_t), reinterpret_cast<char*>(ids.data()));
  return ids;
}

double uniform(std::uint64_t id, std::uint64_t salt) {
  std::uint64_t value = (id + salt * 0x9E3779B97F4A7C15ULL) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 29)) * 0x94D049BB133111EBULL;
  value = (value ^ (value >> 32)) * 0xBF58476D1CE4E5B9ULL;
  value ^= value >> 31;
  return (static_cast<double>(value >> 11) + 0.5) * 0x1p-53;
}

double normal(std::uint64_t id, std::uint64_t salt) {
  return std::sqrt(-2 * std::log(uniform(id, salt))) * std::cos(2 * std::numbers::pi * uniform(id, salt + 1));
}

/// Made sizes and costs, the same each time: log-normal, 600 B and 1.5 ms in the middle, dearer where larger (0.4).
void give_sizes_and_costs(Trace& trace) {
  for (std::uint64_t id = 0; id < trace.sizes.size(); ++id) {
    const double a = normal(id, 1), b = normal(id, 3);
    trace.sizes[id] = static_cast<std::uint32_t>(std::clamp(600 * std::exp(1.6 * a), 64.0, 4.0 * (1 << 20)));
    const double together = 0.4 * a + std::sqrt(1 - 0.4 * 0.4) * b;
    trace.costs[id] = static_cast<float>(std::clamp(1.5 * std::exp(1.8 * together), 0.1, 30'000.0));
  }
}

/// The share of the cost of all requests that is the misses'.
double lost(const std::string& policy, const Trace& trace, double share) {
  double footprint = 0;
  for (const auto size : trace.sizes) footprint += size;
  const auto cache =
      make_simulated(policy, trace, std::max<std::uint64_t>(1, static_cast<std::uint64_t>(share * footprint)));
  double missed = 0, all = 0;
  for (const auto id : trace.requests) {
    all += trace.costs[id];
    if (!cache->request(id)) missed += trace.costs[id];
  }
  return missed / all;
}

std::string table(const Trace& trace) {
  std::string json;
  for (const std::string policy : policies) {
    json += fmt::format("{}\"{}\": [", json.empty() ? "" : ", ", policy);
    for (const double share : shares) {
      json += fmt::format("{}{:.4f}", share == shares.front() ? "" : ", ", lost(policy, trace, share));
    }
    json += "]";
  }
  return "{" + json + "}";
}

}  // namespace

int miss_ratio(const std::vector<std::string>& arguments) {
  Trace trace;
  std::unordered_map<std::uint64_t, std::uint32_t> numbers;
  for (const auto id : read_ids(arguments.at(0))) {
    trace.requests.push_back(numbers.try_emplace(id, static_cast<std::uint32_t>(numbers.size())).first->second);
  }
  if (trace.requests.empty()) {
    fmt::print(stderr, "{}: no requests\n", arguments.at(0));
    return 1;
  }
  trace.sizes.assign(numbers.size(), 1);
  trace.costs.assign(numbers.size(), 1);
  const std::string by_request = table(trace);
  give_sizes_and_costs(trace);
  fmt::print("{{\"requests\": {}, \"objects\": {}, \"policy\": {}, \"cost\": {}}}\n", trace.requests.size(),
             numbers.size(), by_request, table(trace));
  return 0;
}

}  // namespace millrace::cache::bench
