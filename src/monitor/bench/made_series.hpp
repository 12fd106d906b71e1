#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// Series with known answers, each made from a seed.
namespace millrace::bench {

struct Event {
  std::size_t from = 0;
  std::size_t until = 0;  ///< the first value after it
};

struct MadeSeries {
  std::string family = {};
  double start = 0;      ///< seconds since 1970
  double interval = 60;  ///< seconds
  std::vector<double> at = {};
  std::vector<double> values = {};  ///< NaN: missing
  std::vector<Event> events = {};   ///< none where there is nothing to be found
};

/// With something to be found: spike, level_shift, drift, variance_change, season_broken, missing_data. With nothing:
/// plain, seasonal, restart, batch.
const std::vector<std::string>& families();

MadeSeries made_series(const std::string& family, std::uint64_t seed);

}  // namespace millrace::bench
