#include "gateway/cancel_keys.hpp"

#include <sys/random.h>

#include "gateway/session.hpp"

namespace millrace::gateway {

CancelKeys::Key CancelKeys::add(std::weak_ptr<Session> session) {
  Key key;
  while (getrandom(&key.secret, sizeof key.secret, 0) != sizeof key.secret) {
  }
  const std::scoped_lock lock(mutex_);
  do {
    // Drivers hold it as a signed number of 32 bits, and take 0 for none.
    next_ = next_ % 0x7fff'ffff + 1;
  } while (entries_.contains(next_));
  key.process_id = next_;
  entries_.emplace(key.process_id, Entry{key.secret, std::move(session)});
  return key;
}

void CancelKeys::remove(Key key) {
  const std::scoped_lock lock(mutex_);
  entries_.erase(key.process_id);
}

std::shared_ptr<Session> CancelKeys::find(Key key) const {
  const std::scoped_lock lock(mutex_);
  const auto found = entries_.find(key.process_id);
  if (found == entries_.end() || found->second.secret != key.secret) return nullptr;
  return found->second.session.lock();
}

}  // namespace millrace::gateway
