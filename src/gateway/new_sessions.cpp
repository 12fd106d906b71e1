#include "gateway/new_sessions.hpp"

#include "base/log.hpp"

namespace millrace::gateway {

void begin_anew(Shared& shared, std::span<const catalog::BeginOtherwise> whose) {
  bool forgets = false;
  for (const auto& [user, answers] : whose) {
    const bool everybody = user.empty();
    log::info(answers ? "new sessions begin otherwise: those from before run on PostgreSQL until they end"
                      : "new sessions begin otherwise, which changes no answer",
              {{"user", everybody ? "all" : user}});
    if (everybody) {
      shared.pools.retire();
    } else {
      shared.pools.retire_of(user);
    }
    if (!answers || !shared.read_cache) continue;
    if (everybody) {
      shared.read_cache->begin_epoch();
      forgets = true;
    } else {
      forgets |= shared.read_cache->begin_epoch_of(user);
    }
  }
  if (forgets) shared.read_cache->forget_all();
}

void begin_anew(Shared& shared) {
  const catalog::BeginOtherwise everybody{.user = "", .answers = true};
  begin_anew(shared, std::span(&everybody, 1));
}

}  // namespace millrace::gateway
