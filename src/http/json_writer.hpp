#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::http {

/// Appends what stands for `text` between a JSON string's quotes, until `out` has `most` bytes or a character's more,
/// and takes what was written off `text`. Bytes that are not UTF-8 become U+FFFD.
void append_json_text(std::string& out, std::string_view& text, std::size_t most = std::string_view::npos);

/// Writes JSON text, front to back. The caller opens and closes objects and arrays in order; commas come by themselves.
class JsonWriter {
 public:
  void null();
  void boolean(bool value);
  void number(double value);  ///< null if it isn't finite: JSON has no such numbers
  void integer(std::int64_t value);
  void integer(std::uint64_t value);
  void string(std::string_view text);  ///< bytes that are not UTF-8 become U+FFFD
  void raw(std::string_view json);     ///< one value that is JSON already

  void begin_object();
  void key(std::string_view name);
  void end_object();
  void begin_array();
  void end_array();

  std::string take() { return std::move(out_); }

 private:
  void begin_value();
  void quote(std::string_view text);

  std::string out_;
  bool comma_ = false;
};

}  // namespace millrace::http
