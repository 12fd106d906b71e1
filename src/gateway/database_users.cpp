#include "gateway/database_users.hpp"

namespace millrace::gateway {
namespace {

/// Names of databases come and go: so many aren't worth looking through.
constexpr std::size_t most_known = 1000;
constexpr auto worth_knowing = std::chrono::hours(1);

}  // namespace

std::shared_ptr<const void> DatabaseUsers::add(const std::string& database) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= most_known && !known_.contains(database)) {
    const auto now = Clock::now();
    std::erase_if(known_,
                  [&](const auto& one) { return one.second.users == 0 && now - one.second.last > worth_knowing; });
  }
  ++known_[database].users;
  return {static_cast<const void*>(this), [this, database](const void*) {
            const std::lock_guard inner(mutex_);
            auto& use = known_[database];
            --use.users;
            use.last = Clock::now();
          }};
}

DatabaseUsers::Use DatabaseUsers::of(const std::string& database) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(database);
  return found == known_.end() ? Use{} : found->second;
}

}  // namespace millrace::gateway
