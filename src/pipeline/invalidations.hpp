#pragma once

#include <array>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/snapshot.hpp"

namespace millrace::pipeline {

/// Why answers were made stale.
enum class InvalidationReason : std::uint8_t {
  change_stream,  ///< a transaction has changed the table's rows, and the change stream has told it
  write,          ///< a statement through Millrace may have changed it, and no change stream would tell
  gap,            ///< changes may not have been told: the stream began, or was lost, or the table is followed anew
  catalog,        ///< the catalogs have changed: what names mean, who may read what
  by_hand,        ///< asked for over REST
};
BOOST_DESCRIBE_ENUM(InvalidationReason, change_stream, write, gap, catalog, by_hand)

/// How often answers were made stale, by what. It counts what may have changed, not the answers, which are only
/// compared with it when they are asked for. Thread-safe.
class Invalidations {
 public:
  struct Count {
    std::string database;
    catalog::Oid table = 0;  ///< 0: all, or it isn't known which
    InvalidationReason reason = InvalidationReason::write;
    std::uint64_t count = 0;
  };

  void add(std::string_view database, catalog::Oid table, InvalidationReason reason);
  /// The most frequent first, no more than `most`.
  std::vector<Count> counts(std::size_t most) const;
  /// Of all tables. A table over the limit of those that are told apart counts as 0 there, and here as any.
  std::vector<std::pair<InvalidationReason, std::uint64_t>> by_reason() const;

 private:
  static constexpr std::size_t most_tables = 10'000;
  static constexpr std::size_t reasons = 5;
  using Counts = std::array<std::uint64_t, reasons>;

  mutable std::mutex mutex_;
  std::map<std::string, std::map<catalog::Oid, Counts>, std::less<>> counts_;
  std::size_t tables_ = 0;
};

}  // namespace millrace::pipeline
