// For bench/admission_cost: a slot taken and given back, where one is free and nobody waits; by one application with a
// pool in transaction mode.
#include <benchmark/benchmark.h>

#include <optional>

#include "base/clock.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/template_times.hpp"

namespace {

using namespace millrace::executor;

std::optional<AdaptiveQueryExecutor> shared_executor;
std::shared_ptr<Party> party;
millrace::Places places;

/// A clock is read for each statement anyway, so its cost isn't in this.
void BM_Admission(benchmark::State& state) {
  if (state.thread_index() == 0) {
    shared_executor.emplace(AdaptiveQueryExecutor::Limits());
    party = shared_executor->party("user", "");
    places.set_free(AdaptiveQueryExecutor::Limits().most);
  }
  TemplateTimes times;
  std::int64_t at = 0;
  const std::int64_t begun = millrace::now_ns();
  for ([[maybe_unused]] auto _ : state) {
    ++at;
    auto permit = shared_executor->try_take(*party, &places, begun + at);
    if (!permit) {
      state.SkipWithError("no slot was free");
      break;
    }
    permit.has_place();
    permit.give_back(begun + at + 1, times.note(static_cast<std::uint64_t>(at % 16), 100'000, begun + at));
  }
}
BENCHMARK(BM_Admission)->ThreadRange(1, 2)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
