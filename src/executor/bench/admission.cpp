// For bench/admission_cost: a slot taken and given back, where one is free and nobody waits.
#include <fmt/core.h>

#include <cstdlib>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/template_times.hpp"

namespace {

using namespace millrace::executor;

double cost(std::size_t threads, std::int64_t queries) {
  AdaptiveQueryExecutor executor({});
  std::vector<double> costs(threads);
  {
    std::vector<std::jthread> workers;
    for (std::size_t thread = 0; thread < threads; ++thread) {
      workers.emplace_back([&, thread] {
        const auto party = executor.party("user" + std::to_string(thread), "");
        TemplateTimes times;
        const std::int64_t begun = millrace::now_ns();
        // A clock is read for each statement anyway.
        for (std::int64_t at = 0; at < queries; ++at) {
          auto permit = executor.try_take(party, begun + at);
          if (!permit) std::abort();
          permit.give_back(begun + at + 1, times.note(static_cast<std::uint64_t>(at % 16), 100'000, begun + at));
        }
        costs[thread] = static_cast<double>(millrace::now_ns() - begun) / static_cast<double>(queries);
      });
    }
  }
  double sum = 0;
  for (const double one : costs) sum += one;
  return sum / static_cast<double>(threads);
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t queries = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  cost(1, queries / 10);
  const double one = cost(1, queries);
  fmt::print("{{\"ns\": {:.1f}, \"ns_two_threads\": {:.1f}}}\n", one, cost(2, queries));
}
