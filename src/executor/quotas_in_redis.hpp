#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/redis.hpp"
#include "executor/quota_text.hpp"

namespace millrace::executor {

/// What nodes share of quotas: counts, and the quotas that were set. Blocks, and isn't thread-safe, as
/// `backend::Redis`, which after an error is to be made anew.
///
/// A count is at `millrace:quota:hour:KEY`, or `day:`, with KEY an account's, of any bytes, as the rest; it is gone
/// when its window is. `millrace:quota:set` is a hash of what is set (`parse_set_quota`) by KEY, and
/// `millrace:quota:version` a text that is another one when something was set. A quota that was taken away stays there
/// as `removed` for a while, or a node that hasn't heard of it would take it for lost, and bring it back.
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

  struct Entry {
    std::string key;
    SetQuota set;
  };
  struct AllSet {
    std::vector<Entry> entries = {};
    std::size_t unreadable = 0;  ///< aren't among them, as they make no sense
    std::size_t left_out =
        0;  ///< likewise, as there are too many: `Quotas::most_accounts`, and as many that are removed
  };
  Result<AllSet> all_set();
  struct Set {
    /// When each has, as it was told; 0: it was to be removed, with 0, and isn't there.
    std::vector<std::int64_t> changed;
    /// What Redis has then: where nothing was set, the one that was there.
    std::string version;
  };
  /// Sets each of which Redis has nothing later. Where `changed` is 0 or less it is new: it becomes `now`, or more, so
  /// that it is later than what is there, and no less than -`changed`. `version`: a text that is unlike all before.
  Result<Set> set(std::span<const Entry> entries, std::int64_t now, const std::string& version);
  /// Those that haven't changed since.
  Result<> forget(std::span<const Entry> entries);

 private:
  explicit QuotasInRedis(backend::Redis redis) : redis_(std::move(redis)) {}

  backend::Redis redis_;
};

}  // namespace millrace::executor
