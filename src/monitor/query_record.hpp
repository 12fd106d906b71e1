#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace millrace {

/// What the cache did for a query.
enum class CacheUse : std::uint8_t {
  none,    ///< it isn't one that asks the cache
  hit,     ///< it was answered from memory
  miss,    ///< it may be answered from memory, and wasn't there
  bypass,  ///< it may not
};

/// What ran a query.
enum class Engine : std::uint8_t { postgresql, duckdb };
inline constexpr std::array<std::string_view, 2> engine_names = {"postgresql", "duckdb"};

/// Clocks are read on several cores: what is a little below zero is zero.
constexpr std::uint64_t not_negative(std::int64_t nanoseconds) {
  return nanoseconds > 0 ? static_cast<std::uint64_t>(nanoseconds) : 0;
}

/// One query, whatever happened to it. Filled by the pipeline at the query's end, read by whoever keeps figures; it
/// owns nothing: the texts live as long as the call that it is passed to.
struct QueryRecord {
  std::uint64_t fingerprint = 0;  ///< equal for statements that differ in constants only; 0 where it isn't known
  std::uint8_t kind = 0;          ///< the statement's kind: an index into the table that the monitor was made with
  Engine engine = Engine::postgresql;

  std::string_view user = {};     ///< the database's
  std::string_view user_id = {};  ///< whom its client asks for; "": it doesn't say
  std::string_view database = {};
  std::string_view application = {};
  std::string_view project = {};  ///< likewise

  std::int64_t started_ns = 0;     ///< `now_ns()` when the whole request was there
  std::int64_t queue_ns = 0;       ///< of the duration: waiting for a server connection
  std::int64_t first_byte_ns = 0;  ///< from the start to the answer's first byte; 0 if there was none
  std::int64_t duration_ns = 0;    ///< from the start to the answer's last byte

  std::uint64_t rows = 0;       ///< returned or changed
  std::uint64_t bytes_in = 0;   ///< from the client
  std::uint64_t bytes_out = 0;  ///< to the client

  CacheUse cache = CacheUse::none;
  bool rewritten = false;  ///< it was sent in another way than it was written
  bool slow = false;       ///< it took SLOW_QUERY_THRESHOLD_MS or longer

  std::array<char, 6> sqlstate = {};  ///< of the error that ended it, with a NUL at the end; empty after success

  /// Whose it is.
  std::string_view asker() const { return user_id.empty() ? user : user_id; }
  bool failed() const { return sqlstate[0] != '\0'; }
  std::string_view error_code() const { return failed() ? std::string_view(sqlstate.data(), 5) : std::string_view(); }
};

}  // namespace millrace
