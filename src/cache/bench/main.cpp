#include <fmt/core.h>

#include <string>
#include <vector>

#include "cache/bench/bench.hpp"

/// What bench/l1 and bench/miss_ratio run.
int main(int count, char** values) {
  const std::vector<std::string> arguments(values + 1, values + count);
  if (!arguments.empty()) {
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (arguments[0] == "l1") return millrace::cache::bench::l1(rest);
    if (arguments[0] == "miss_ratio") return millrace::cache::bench::miss_ratio(rest);
  }
  fmt::print(stderr, "cache_bench l1 SECONDS MIB | cache_bench miss_ratio TRACE.u64 SIZES [POLICY]...\n");
  return 2;
}
