#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace millrace::pgwire {

/// Reads a SCRAM message, `a=value` parts with commas between them (RFC 5802, 5.1), from front to back. Errors are
/// worded as PostgreSQL's: "malformed SCRAM message" (08P01), the reason in the detail.
class ScramAttributes {
 public:
  explicit ScramAttributes(std::string_view message) : message_(message), rest_(message) {}

  /// The next part's value; its letter must be `name`.
  Result<std::string_view> take(char name);
  /// The next part, whatever its letter.
  Result<std::pair<char, std::string_view>> take_any();
  /// The comma that must come next.
  Result<> take_comma();

  bool at_end() const { return rest_.empty(); }
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  void skip() { rest_.remove_prefix(1); }
  std::string_view rest() const { return rest_; }
  std::size_t position() const { return message_.size() - rest_.size(); }

 private:
  Result<std::string_view> take_value(char name);

  std::string_view message_;
  std::string_view rest_;
};

std::unexpected<Error> malformed_scram(std::string detail);
/// A character as PostgreSQL shows it in these messages: in quotes if printable, its code otherwise.
std::string shown(char c);
/// A client's text as PostgreSQL shows it: its first 30 bytes, with '?' for what isn't printable.
std::string shown(std::string_view text);
/// RFC 5802's `printable`: visible ASCII without the comma.
bool is_scram_printable(std::string_view text);

}  // namespace millrace::pgwire
