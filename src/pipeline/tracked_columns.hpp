#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
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
  /// from then on is told of it. Its number, from 1 in the order in which they were added; null: there are too many,
  /// the answer depends on the table.
  std::optional<std::size_t> add(std::string_view database, catalog::Oid table, std::string_view column);
  /// How many there are: those up to this number.
  std::size_t count() const;
  /// Those of the table, sorted.
  std::vector<std::string> of(std::string_view database, catalog::Oid table) const;

 private:
  const std::size_t most_;
  mutable std::mutex mutex_;
  std::size_t count_ = 0;
  struct Column {
    std::string name;
    std::size_t number = 0;
  };
  std::map<std::string, std::map<catalog::Oid, std::vector<Column>>, std::less<>> columns_;
};

}  // namespace millrace::pipeline
