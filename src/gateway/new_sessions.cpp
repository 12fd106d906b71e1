#include "gateway/new_sessions.hpp"

#include "base/log.hpp"

namespace millrace::gateway {

void begin_anew(Shared& shared) {
  log::info("new sessions begin otherwise: those from before run on PostgreSQL until they end");
  shared.pools.retire();
  if (!shared.read_cache) return;
  shared.read_cache->begin_epoch();
  shared.read_cache->forget_all();
}

}  // namespace millrace::gateway
