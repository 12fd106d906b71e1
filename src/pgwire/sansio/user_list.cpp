#include "pgwire/sansio/user_list.hpp"

#include <fmt/core.h>

#include <optional>

namespace millrace::pgwire {
namespace {

constexpr std::size_t max_name_bytes = 63;

void skip_blanks(std::string_view& line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t' || line.front() == '\r')) line.remove_prefix(1);
}

bool is_comment_or_end(std::string_view line) { return line.empty() || line.front() == ';' || line.front() == '#'; }

// Takes a quoted text off the front of `line`; nullopt if there is none or it isn't closed.
std::optional<std::string> take_quoted(std::string_view& line) {
  skip_blanks(line);
  if (line.empty() || line.front() != '"') return std::nullopt;
  std::string text;
  for (std::size_t i = 1; i < line.size(); ++i) {
    if (line[i] != '"') {
      text += line[i];
    } else if (i + 1 < line.size() && line[i + 1] == '"') {
      text += '"';
      ++i;
    } else {
      line.remove_prefix(i + 1);
      return text;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::map<std::string, StoredSecret>> parse_user_list(std::string_view text) {
  std::map<std::string, StoredSecret> users;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto fault = [&](std::string_view reason) { return fail(fmt::format("line {}: {}", number, reason)); };
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));

    skip_blanks(line);
    if (is_comment_or_end(line)) continue;
    auto name = take_quoted(line);
    if (!name) return fault("a user's name in double quotes is expected");
    auto secret = take_quoted(line);
    if (!secret) return fault("the user's secret in double quotes is expected after the name");
    skip_blanks(line);
    if (!is_comment_or_end(line)) return fault("nothing is expected after the secret");
    if (name->empty()) return fault("the user's name is empty");
    if (name->size() > max_name_bytes) return fault("the user's name is longer than PostgreSQL's 63 bytes");
    if (!users.try_emplace(std::move(*name), parse_secret(*secret)).second) {
      return fault("the user is listed a second time");
    }
  }
  return users;
}

}  // namespace millrace::pgwire
