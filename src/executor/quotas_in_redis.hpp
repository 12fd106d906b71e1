#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/redis.hpp"
#include "executor/quotas.hpp"

namespace millrace::executor {

/// What nodes share of quotas: counts, and the quotas that were set. Blocks, and isn't thread-safe, as
/// `backend::Redis`, which after an error is to be made anew.
///
/// A count is at `millrace:quota:hour:KEY`, or `day:`, with KEY an account's, of any bytes, as the rest; it is gone
/// when its window is. `millrace:quota:set` is a hash of quotas (`quota_text`) by KEY, and `millrace:quota:version` a
/// text that is another one when something was set.
class QuotasInRedis {
 public:
  static Result<QuotasInRedis> connect(const backend::RedisAddress& address, std::chrono::milliseconds limit);

  /// All that is asked from now on fails if it isn't answered then, or hardly later.
  void end_by(TimePoint latest) { redis_.end_by(latest); }

  struct News {
    std::string_view key;  ///< the account's
    Window window;
    Account::Untold untold;
  };
  struct Heard {
    std::uint64_t sum = 0;
    std::int64_t left = 0;  ///< ns; 0: no window has begun
  };
  /// Counts for all nodes, and says what they all have counted, one for each. Where Redis has nothing of a window, it
  /// begins with what is known here. After an error it may have counted or not.
  Result<std::vector<Heard>> tell(std::span<const News> news);

  Result<std::string> version();  ///< "": nothing was set
  /// `unreadable`: how many aren't in the answer, as they make no sense.
  Result<std::vector<Quotas::Set>> all_set(std::size_t& unreadable);
  /// `version`: a text that is unlike all before. `where_none`: those for which nothing is set.
  Result<> set(std::span<const Quotas::Set> quotas, const std::string& version, bool where_none);

 private:
  explicit QuotasInRedis(backend::Redis redis) : redis_(std::move(redis)) {}

  backend::Redis redis_;
};

}  // namespace millrace::executor
