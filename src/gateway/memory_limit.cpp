#include "gateway/memory_limit.hpp"

#include <string_view>

namespace millrace::gateway {

namespace {

/// What is over sooner isn't worth a look: a thousand sessions, each of whose queries takes a millisecond, cost
/// nothing.
constexpr std::int64_t least_ns = 200'000'000;

struct Limit {
  std::size_t megabytes;  ///< 0: none
  std::string_view whose;
};

}  // namespace

void note_memory(Relay& relay, backend::ServerConnection& connection, const config::Settings& settings,
                 std::size_t own_limit_mb, std::int64_t now) {
  const std::int64_t since = relay.query_runs_since();
  if (since == 0 || now - since < least_ns) return;
  Limit lowest{.megabytes = static_cast<std::size_t>(settings.memory_limit_per_query_mb),
               .whose = "MEMORY_LIMIT_PER_QUERY_MB"};
  for (const Limit& each :
       {Limit{relay.quota_memory_mb(), "the quota's max_memory_mb"}, Limit{own_limit_mb, "memory_limit_mb"}}) {
    if (each.megabytes != 0 && (lowest.megabytes == 0 || each.megabytes < lowest.megabytes)) lowest = each;
  }
  if (lowest.megabytes == 0 || !connection.process()) return;
  const auto memory = connection.process()->own_memory();
  if (memory && *memory > lowest.megabytes << 20U) relay.uses_too_much(lowest.megabytes, lowest.whose, now);
}

}  // namespace millrace::gateway
