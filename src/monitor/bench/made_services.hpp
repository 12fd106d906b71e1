#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/interval_figures.hpp"
#include "monitor/tiers.hpp"

/// Services with known answers, each made from a seed.
namespace millrace::bench {

/// What all clients of a made service ask in a second.
struct MadeSecond {
  IntervalFigures figures;
  IntervalPtr by_template;
};

/// A made service: some templates, of which each takes what it does, with heavy tails; some are answered from memory
/// mostly.
struct MadeService {
  std::vector<MadeSecond> seconds = {};
  std::size_t judged_from = 0;  ///< before it is what is usual
  bool is_event = false;        ///< from then on statements take longer than they did
};

/// With something to be found, all but the last while more is asked: slower (all), tail (a tenth of the calls), ramp,
/// one_template, slow_batch (a batch takes longer than the one before). With nothing: steady, busier, another_mix,
/// batch (the first one of slow statements).
const std::vector<std::string>& service_families();

MadeService made_service(const std::string& family, std::uint64_t seed);

}  // namespace millrace::bench
