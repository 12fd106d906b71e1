#include "http/json_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.hpp"

namespace millrace::http {
namespace {

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
}

}  // namespace

void JsonWriter::begin_value() {
  if (comma_) out_ += ',';
  comma_ = true;
}

void JsonWriter::null() {
  begin_value();
  out_ += "null";
}

void JsonWriter::boolean(bool value) {
  begin_value();
  out_ += value ? "true" : "false";
}

void JsonWriter::number(double value) {
  if (!std::isfinite(value)) return null();
  begin_value();
  const std::string text = fmt::format("{}", value);
  out_ += text;
  // Other languages tell whole numbers from others by this, as is right for a member that may be either.
  if (text.find_first_of(".e") == std::string::npos) out_ += ".0";
}

void JsonWriter::integer(std::int64_t value) {
  begin_value();
  fmt::format_to(std::back_inserter(out_), "{}", value);
}

void JsonWriter::integer(std::uint64_t value) {
  begin_value();
  fmt::format_to(std::back_inserter(out_), "{}", value);
}

void JsonWriter::string(std::string_view text) {
  begin_value();
  quote(text);
}

void JsonWriter::raw(std::string_view json) {
  begin_value();
  out_ += json;
}

void JsonWriter::begin_object() {
  begin_value();
  out_ += '{';
  comma_ = false;
}

void JsonWriter::key(std::string_view name) {
  begin_value();
  quote(name);
  out_ += ':';
  comma_ = false;
}

void JsonWriter::end_object() {
  out_ += '}';
  comma_ = true;
}

void JsonWriter::begin_array() {
  begin_value();
  out_ += '[';
  comma_ = false;
}

void JsonWriter::end_array() {
  out_ += ']';
  comma_ = true;
}

void JsonWriter::quote(std::string_view text) {
  out_ += '"';
  append_json_text(out_, text);
  out_ += '"';
}

void append_json_text(std::string& out, std::string_view& text, std::size_t most) {
  while (!text.empty() && out.size() < most) {
    const auto part = text.substr(0, most - out.size());
    const auto plain = static_cast<std::size_t>(std::find_if_not(part.begin(), part.end(), is_plain) - part.begin());
    out += part.substr(0, plain);
    text.remove_prefix(plain);
    if (plain == part.size()) continue;
    const std::size_t length = utf8_length(text);
    const char c = text.front();
    if (length == 0) {
      out += "\uFFFD";
    } else if (length > 1) {
      out += text.substr(0, length);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else {
      constexpr std::string_view digits = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(c);
      out += "\\u00";
      out += digits[byte / 16];
      out += digits[byte % 16];
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

}  // namespace millrace::http
