#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/tiers.hpp"

/// A template's calls with known answers, each made from a seed.
namespace millrace::bench {

struct MadeCalls {
  double start = 0;                      ///< seconds since 1970
  std::vector<Interval> intervals = {};  ///< of five seconds each, of one template; from 0 on
  std::vector<double> changes = {};      ///< when calls began to take longer, in seconds from the start
  double judged_from = 0;                ///< seconds from the start
};

/// With something to be found: step, mixed_step (some of the calls only), drift (within 5 to 30 minutes). With nothing:
/// steady, heavy_tail, wandering, burst, restart, daily, nightly_batch. The last two are of three days, judged from the
/// second one on; the others are of three hours.
const std::vector<std::string>& call_families();

MadeCalls made_calls(const std::string& family, std::uint64_t seed);

}  // namespace millrace::bench
