#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

struct redisContext;

namespace millrace::backend {

struct RedisAddress {
  std::string host;  ///< a name, an address, or a Unix socket's path (begins with '/')
  std::uint16_t port = 6379;
  std::string user = {};      ///< empty: Redis's `default`
  std::string password = {};  ///< empty: no AUTH
  std::uint32_t database = 0;
};

/// What Redis answers: nothing, a number, a string (a status, too), or a list.
struct RedisValue {
  std::variant<std::monostate, std::int64_t, std::string, std::vector<RedisValue>> value;

  /// Null: it is something else.
  const std::int64_t* number() const { return std::get_if<std::int64_t>(&value); }
  const std::string* text() const { return std::get_if<std::string>(&value); }
  const std::vector<RedisValue>* list() const { return std::get_if<std::vector<RedisValue>>(&value); }
  bool is_nothing() const { return std::holds_alternative<std::monostate>(value); }
};

/// A connection to Redis. It blocks: for a thread that isn't a core's. Not thread-safe. After an error of `ask` it is
/// to be dropped, and a new one made.
class Redis {
 public:
  /// Connects and logs in, to a database. `limit`: of each step, and of each command later; the look-up of a name takes
  /// as long as the system's resolver.
  static Result<Redis> connect(const RedisAddress& address, std::chrono::milliseconds limit);

  /// The command's name first. Errors: it didn't come through, was refused, or no such answer is taken (of more than
  /// 16 MiB, or a list of more than 100,000 elements). What Redis itself said is the error's detail.
  Result<RedisValue> ask(const std::vector<std::string>& command);
  /// All that is asked from now on fails if it isn't answered then, or hardly later.
  void end_by(TimePoint latest) { latest_ = latest; }

 private:
  struct Free {
    void operator()(redisContext* context) const;
  };
  Redis(std::unique_ptr<redisContext, Free> context, std::chrono::milliseconds limit);

  std::unique_ptr<redisContext, Free> context_;
  std::chrono::milliseconds limit_;
  TimePoint latest_ = TimePoint::max();
};

}  // namespace millrace::backend
