#pragma once

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

/// Structured logs: an event's name and key=value pairs, as a line of text or of JSON. Thread-safe.
/// Nobody waits for whoever reads them: they are written on a thread of their own, and lost if too many wait.
///
///     log::info("client connected", {{"client", 17}, {"user", user}});
namespace millrace::log {

enum class Level { debug, info, warn, error };
enum class Format { text, json };

/// Call once at start; may be called again (a reload changes the level). The default is info as text on standard error.
void configure(Level level, Format format);

bool enabled(Level level);

/// A key and a value that is already text; made by `log::info` and kin from anything that fmt can print.
struct Field {
  std::string_view key;
  std::string value;
  bool quoted = true;

  template <typename T>
  Field(std::string_view k, const T& v) : key(k), value(fmt::format("{}", v)), quoted(!std::is_arithmetic_v<T>) {}
};

/// Waits until what was said so far is written or lost; before the process ends. False: `limit` passed first.
bool flush(std::chrono::milliseconds limit);
/// Since the start: said, but never written.
std::uint64_t lost_lines();

void write(Level level, std::string_view event, std::initializer_list<Field> fields);

inline void debug(std::string_view event, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::debug)) write(Level::debug, event, fields);
}
inline void info(std::string_view event, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::info)) write(Level::info, event, fields);
}
inline void warn(std::string_view event, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::warn)) write(Level::warn, event, fields);
}
inline void error(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::error, event, fields);
}

}  // namespace millrace::log
