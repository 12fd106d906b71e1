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

  /// `process_id`: of the server's process that serves this session and no other; 0: there is none, and the key gets a
  /// number that no process can have, so that what an application does by it (pg_terminate_backend) hits nobody.
  Key add(std::weak_ptr<Session> session, std::uint32_t process_id = 0);
  void remove(Key key);
  /// Null: nobody has this key, or no longer.
  std::shared_ptr<Session> find(Key key) const;

 private:
  static std::uint64_t whole(Key key) { return std::uint64_t{key.process_id} << 32 | key.secret; }

  mutable std::mutex mutex_;
  std::uint32_t next_ = 0;
  boost::unordered_flat_map<std::uint64_t, std::weak_ptr<Session>> sessions_;
};

}  // namespace millrace::gateway
