#include "pgwire/sansio/scram_attributes.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace millrace::pgwire {
namespace {

constexpr std::size_t max_shown = 30;

constexpr bool is_visible(char c) { return c >= 0x21 && c <= 0x7e; }

}  // namespace

std::unexpected<Error> malformed_scram(std::string detail) {
  return fail("malformed SCRAM message", "08P01", {}, std::move(detail));
}

std::string shown(char c) {
  if (is_visible(c)) return fmt::format("'{}'", c);
  return fmt::format("0x{:02x}", static_cast<unsigned char>(c));
}

std::string shown(std::string_view text) {
  std::string result(text.substr(0, max_shown));
  std::replace_if(result.begin(), result.end(), [](char c) { return !is_visible(c); }, '?');
  return result;
}

bool is_scram_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return is_visible(c) && c != ','; });
}

Result<std::string_view> ScramAttributes::take(char name) {
  if (peek() != name) {
    return malformed_scram(fmt::format("Expected attribute \"{}\" but found \"{}\".", name, shown(peek())));
  }
  return take_value(name);
}

Result<std::pair<char, std::string_view>> ScramAttributes::take_any() {
  if (at_end()) return malformed_scram("Attribute expected, but found end of string.");
  const char name = peek();
  if (!((name >= 'A' && name <= 'Z') || (name >= 'a' && name <= 'z'))) {
    return malformed_scram(fmt::format("Attribute expected, but found invalid character \"{}\".", shown(name)));
  }
  auto value = take_value(name);
  if (!value) return std::unexpected(std::move(value.error()));
  return std::pair(name, *value);
}

Result<> ScramAttributes::take_comma() {
  if (peek() != ',') return malformed_scram(fmt::format("Comma expected, but found character \"{}\".", shown(peek())));
  skip();
  return {};
}

Result<std::string_view> ScramAttributes::take_value(char name) {
  skip();
  if (peek() != '=') return malformed_scram(fmt::format("Expected character \"=\" for attribute \"{}\".", name));
  skip();
  const std::size_t end = std::min(rest_.find(','), rest_.size());
  const std::string_view value = rest_.substr(0, end);
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  return value;
}

}  // namespace millrace::pgwire
