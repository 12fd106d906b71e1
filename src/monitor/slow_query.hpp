#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "monitor/query_record.hpp"

namespace millrace {

/// The values of a statement's parameters as text; null: NULL. Shorter than the statement's list: the rest was cut off.
using ParameterTexts = std::vector<std::optional<std::string>>;

/// A query that took SLOW_QUERY_THRESHOLD_MS or longer.
struct SlowQuery {
  std::uint64_t number = 0;  ///< counts them from 1, since the start
  std::int64_t run = 0;      ///< of another process: when that began, in seconds since 1970
  std::uint64_t fingerprint = 0;
  std::uint8_t kind = 0;
  Engine engine = Engine::postgresql;
  std::string text = {};  ///< as the client sent it, cut off where it is long
  ParameterTexts parameters = {};
  std::string user = {}, user_id = {}, database = {}, application = {}, project = {};  ///< as in `QueryRecord`
  std::string route = {}, traceparent = {};                                            ///< as its comment says
  std::chrono::system_clock::time_point started = {};
  std::int64_t duration_ns = 0;
  std::int64_t queue_ns = 0;  ///< of the duration
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  CacheUse cache = CacheUse::none;
  bool rewritten = false;  ///< it was sent in another way than it was written
  std::array<char, 6> sqlstate = {};
  std::optional<double> cpu_percent = {}, memory_mb = {};  ///< where somebody has told; MiB

  const std::string& asker() const { return user_id.empty() ? user : user_id; }
  bool failed() const { return sqlstate[0] != '\0'; }
};

}  // namespace millrace
