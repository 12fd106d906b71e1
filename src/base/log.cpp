#include "base/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/line_writer.hpp"

namespace millrace::log {
namespace {

std::atomic<Level> threshold{Level::info};
std::atomic<Format> layout{Format::text};

/// Some thousand lines: for as long as whoever reads them is held up or starts anew.
constexpr std::size_t max_waiting_bytes = std::size_t{1024} * 1024;

std::string_view name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
  }
  return "error";
}

// Text from outside can hold line breaks and control characters: a log line stays one line.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

std::string timestamp() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const std::time_t seconds = milliseconds / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, milliseconds % 1000);
}

bool needs_quotes(std::string_view text) {
  return text.empty() || text.find_first_of(" \"=\\\n\r\t") != std::string_view::npos ||
         std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

std::string line_of(Level level, std::string_view event, std::initializer_list<Field> fields) {
  std::string line;
  if (layout == Format::json) {
    line = fmt::format(R"({{"time":"{}","level":"{}","event":)", timestamp(), name(level));
    append_quoted(line, event);
    for (const Field& field : fields) {
      line += ",\"";
      line += field.key;
      line += "\":";
      if (field.quoted) {
        append_quoted(line, field.value);
      } else {
        line += field.value;
      }
    }
    line += '}';
  } else {
    line = fmt::format("{} {:<5} {}", timestamp(), name(level), event);
    for (const Field& field : fields) {
      line += ' ';
      line += field.key;
      line += '=';
      if (field.quoted && needs_quotes(field.value)) {
        append_quoted(line, field.value);
      } else {
        line += field.value;
      }
    }
  }
  return line;
}

/// Never destroyed: other threads may have something to say up to the very end.
LineWriter& writer() {
  static auto* const made = new LineWriter(STDERR_FILENO, max_waiting_bytes, [](std::uint64_t count) {
    return line_of(Level::warn, "log lines were lost, as nobody read them", {{"count", count}});
  });
  return *made;
}

}  // namespace

void configure(Level level, Format format) {
  threshold = level;
  layout = format;
}

bool enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

void write(Level level, std::string_view event, std::initializer_list<Field> fields) {
  writer().write(line_of(level, event, fields));
}

bool flush(std::chrono::milliseconds limit) { return writer().flush(limit); }

std::uint64_t lost_lines() { return writer().lost(); }

}  // namespace millrace::log
