#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace millrace::cache::bench {

/// What is asked for: each object by its number, with its size and what it takes to have it again.
struct Trace {
  std::vector<std::uint32_t> requests;
  std::vector<std::uint32_t> sizes;
  std::vector<float> costs;
};

/// A cache that is simulated: it holds numbers of objects.
class Simulated {
 public:
  Simulated() = default;
  Simulated(const Simulated&) = delete;
  Simulated& operator=(const Simulated&) = delete;
  virtual ~Simulated() = default;
  /// Whether it was there; it may be from now on.
  virtual bool request(std::uint32_t id) = 0;
};

/// "millrace" is the policy that the cache runs; "lru", "s3fifo", "arc", "wtinylfu", "gdsf" are what it is compared
/// with. The capacity is in the unit of the sizes.
std::unique_ptr<Simulated> make_simulated(const std::string& policy, const Trace& trace, std::uint64_t capacity);

}  // namespace millrace::cache::bench
