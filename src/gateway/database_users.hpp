#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.hpp"

namespace millrace::gateway {

/// Which databases have clients, and since when the others have none. Thread-safe.
class DatabaseUsers {
 public:
  /// The database has one more while the answer lives, which must not outlive this.
  [[nodiscard]] std::shared_ptr<const void> add(const std::string& database);

  struct Use {
    std::size_t users = 0;
    TimePoint last = {};  ///< when the last one went; of a database that has some, or never had any, it says nothing
  };
  Use of(const std::string& database) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Use> known_;  ///< that have users, or had some lately
};

}  // namespace millrace::gateway
