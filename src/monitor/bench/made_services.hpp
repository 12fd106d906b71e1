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

/// A made service: some templates, of which each takes what it does, with heavy tails; half of them are answered from
/// memory mostly.
struct MadeService {
  std::vector<MadeSecond> seconds = {};
  std::size_t not_judged_from = 0;  ///< before it there is nothing to be found
  std::size_t judged_from = 0;      ///< whatever is said between these is right
  bool is_event = false;            ///< from then on statements take longer than they did
};

/// With something to be found, while more is asked: slower (all), tail (a tenth of the calls), ramp, one_template,
/// slower_again (some minutes after the first time), back (as before an improvement), start_slower (soon after a start
/// that was slow itself); and while no more is: slow_batch (a batch takes longer than the one before), lock_tail (some
/// wait for locks), slow_disk (half of the calls), rare (all of hundreds of templates, each called once a minute or
/// so). With nothing: steady, busier, another_mix, batch (the first one of slow statements), growing_batch (whose
/// statements take twice as long in the end), start, cold_cache, restart, deploy, daily_peak (an hour, in which
/// statements take longer as PostgreSQL is used more), improved (statements take less, until that is usual), and where
/// others vote every few minutes: few (some calls a second), rare_busier.
const std::vector<std::string>& service_families();

MadeService made_service(const std::string& family, std::uint64_t seed);

}  // namespace millrace::bench
