#include "gateway/cancel_keys.hpp"

#include <sys/random.h>

#include "gateway/session.hpp"

namespace millrace::gateway {
namespace {

/// Far above any process: Linux has numbers up to 2^22. Drivers hold it as a signed number of 32 bits.
constexpr std::uint32_t no_process = 0x4000'0000;

}  // namespace

CancelKeys::Key CancelKeys::add(std::weak_ptr<Session> session, std::uint32_t process_id) {
  const std::scoped_lock lock(mutex_);
  if (process_id == 0) process_id = no_process + next_++ % no_process;
  Key key{.process_id = process_id, .secret = 0};
  do {
    while (getrandom(&key.secret, sizeof key.secret, 0) != sizeof key.secret) {
    }
    // Two servers, before and after a reload, may have a process of the same number.
  } while (!sessions_.try_emplace(whole(key), session).second);
  return key;
}

void CancelKeys::remove(Key key) {
  const std::scoped_lock lock(mutex_);
  sessions_.erase(whole(key));
}

std::shared_ptr<Session> CancelKeys::find(Key key) const {
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(whole(key));
  return found == sessions_.end() ? nullptr : found->second.lock();
}

}  // namespace millrace::gateway
