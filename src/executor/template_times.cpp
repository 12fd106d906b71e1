#include "executor/template_times.hpp"

#include <algorithm>

namespace millrace::executor {

int TemplateTimes::note(std::uint64_t fingerprint, std::int64_t took, std::int64_t now) {
  constexpr std::int64_t weight_of_mean = 8;
  constexpr std::int32_t first = 64, weight_of_size = 1024;
  constexpr std::int64_t size_changes_every = 50'000'000;
  constexpr int fraction = 256;
  Times& times = times_[place(fingerprint)];
  if (times.fingerprint != fingerprint) times = {.fingerprint = fingerprint, .mean = took};
  times.mean += (took - times.mean) / weight_of_mean;
  // It says what part of the work such a query is. Were it to follow what they take while more of them run, these would
  // seem to be more work.
  if (times.noted < first || now - times.changed > size_changes_every) {
    times.noted = times.noted < first ? times.noted + 1 : weight_of_size;
    times.size += (log2_256(took) * fraction - times.size) / times.noted;
    times.changed = now;
  }
  return times.size / fraction;
}

}  // namespace millrace::executor
