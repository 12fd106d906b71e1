#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "integration/freshness.hpp"

namespace millrace::pipeline {

/// How fresh an answer from memory must be, by the spec's names. docs/consistency.md says what each promises.
struct Consistency {
  enum class Level : std::uint8_t {
    eventual,          ///< by time to live, and as soon as a change is heard of
    bounded,           ///< what was committed `bound` ago is seen
    session,           ///< what the session has seen or written is seen; time never runs backwards for it
    read_after_write,  ///< and what the user has written in other sessions
    strong,            ///< what was committed when the read came is seen
  };
  Level level = Level::session;
  std::chrono::milliseconds bound{1000};  ///< of `bounded`
  std::int64_t after = 0;                 ///< and what was committed at this moment is seen; of `now_ns()`

  /// "strong", "bounded(250)", ...; "bounded" alone has `bound`. Null: it is none of them. In any case.
  static std::optional<Consistency> parse(std::string_view text, std::chrono::milliseconds bound);
  /// The level, as `parse` reads it.
  std::string text() const;

  /// Whether it can be met by none but answers whose changes are followed.
  bool needs_stream() const { return after != 0 || (level != Level::eventual && level != Level::bounded); }
  bool operator==(const Consistency&) const = default;
};

std::string_view name(Consistency::Level level);

/// What a session has seen, for what it may be shown next. In ns of `now_ns()`.
struct SessionTime {
  std::int64_t seen = 0;   ///< the last moment at which something that it was shown may have been read or written
  std::int64_t wrote = 0;  ///< likewise, of all the user's sessions' writes
  std::int64_t own = 0;    ///< when it last wrote itself
};

/// What an answer from memory must show.
struct Needed {
  integration::Moments all;  ///< all that anybody could see at these moments; 0: of any
  /// All that was written through Millrace up to then.
  std::int64_t written = 0;
};

Needed needed(const Consistency& consistency, const SessionTime& time, std::int64_t now);

}  // namespace millrace::pipeline
