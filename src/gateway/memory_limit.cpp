#include "gateway/memory_limit.hpp"

#include <string_view>

namespace millrace::gateway {

namespace {

/// What is over sooner isn't worth a look: a thousand sessions, each of whose queries takes a millisecond, cost
/// nothing.
constexpr std::int64_t least_ns = 200'000'000;

struct MemoryLimit {
  std::size_t megabytes;  ///< 0: none
  std::string_view whose;
};

}  // namespace

void note_memory(Relay& relay, backend::ServerConnection& connection, const Shared& shared, std::size_t own_limit_mb,
                 std::int64_t now) {
  const auto watched = relay.watched();
  if (!watched || now - watched->since < least_ns) return;
  const int by_setting = watched->is_query ? shared.rules.load()->settings->memory_limit_per_query_mb : 0;
  MemoryLimit lowest{.megabytes = static_cast<std::size_t>(by_setting), .whose = "MEMORY_LIMIT_PER_QUERY_MB"};
  for (const MemoryLimit& each :
       {MemoryLimit{watched->quota_mb, "the quota's max_memory_mb"}, MemoryLimit{own_limit_mb, "memory_limit_mb"}}) {
    if (each.megabytes != 0 && (lowest.megabytes == 0 || each.megabytes < lowest.megabytes)) lowest = each;
  }
  if (lowest.megabytes == 0 || !connection.process()) return;
  const auto memory = connection.process()->own_memory();
  if (memory && *memory > lowest.megabytes << 20U) relay.uses_too_much(lowest.megabytes, lowest.whose, now);
}

}  // namespace millrace::gateway
