#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/snapshot.hpp"

namespace millrace::pipeline {

/// The columns of whose values some answer depends, or did: what changes in others needn't be told by value. Of all
/// databases; grows up to a bound and is empty again after a restart. Thread-safe.
class TrackedColumns {
 public:
  explicit TrackedColumns(std::size_t most = 16'384) : most_(most) {}

  /// Whoever has an answer depend on values of the column adds it before looking at their versions: what is committed
  /// from then on is told of it. False: there are too many, the answer depends on the table.
  bool add(std::string_view database, catalog::Oid table, std::string_view column);
  /// Those of the table, sorted.
  std::vector<std::string> of(std::string_view database, catalog::Oid table) const;

 private:
  const std::size_t most_;
  mutable std::mutex mutex_;
  std::size_t count_ = 0;
  std::map<std::string, std::map<catalog::Oid, std::vector<std::string>>, std::less<>> columns_;
};

}  // namespace millrace::pipeline
