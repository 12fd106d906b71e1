#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <memory>
#include <mutex>

namespace millrace::gateway {

class Session;

/// The keys by which clients ask to cancel: ours, so that they hold whichever server connection the query runs on.
/// Thread-safe.
class CancelKeys {
 public:
  struct Key {
    std::uint32_t process_id = 0;
    std::uint32_t secret = 0;
  };

  Key add(std::weak_ptr<Session> session);
  void remove(Key key);
  /// Null: nobody has this key, or no longer.
  std::shared_ptr<Session> find(Key key) const;

 private:
  struct Entry {
    std::uint32_t secret;
    std::weak_ptr<Session> session;
  };
  mutable std::mutex mutex_;
  std::uint32_t next_ = 0;
  boost::unordered_flat_map<std::uint32_t, Entry> entries_;
};

}  // namespace millrace::gateway
