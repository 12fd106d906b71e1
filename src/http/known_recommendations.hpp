#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "http/recommendations_types.hpp"

namespace millrace::http {

/// What was recommended lately. Thread-safe.
class KnownRecommendations {
 public:
  using Answer = std::shared_ptr<const RecommendationsAnswer>;
  /// The database, and the budget that was asked for.
  using Key = std::pair<std::string, std::optional<std::uint32_t>>;

  /// Null: none of the last minute.
  Answer find(const Key& key) const;
  void keep(const Key& key, Answer answer);
  /// The newest of the last hour for which no budget was given, of whichever database. Null: there is none.
  Answer newest() const;

 private:
  struct Kept {
    TimePoint at;
    Answer answer;
  };

  mutable std::mutex mutex_;
  std::map<Key, Kept> answers_;
  Kept newest_;
};

}  // namespace millrace::http
