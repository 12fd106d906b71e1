#include "sql/comments.hpp"

#include <algorithm>
#include <charconv>

#include "sql/skip_comment.hpp"

namespace millrace::sql {
namespace {

constexpr std::size_t none = std::string_view::npos;
constexpr std::size_t most_tags = 64;
constexpr std::size_t longest_tag = 128;
constexpr std::chrono::seconds longest_ttl = std::chrono::hours(24) * 365;

bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool goes_on_name(char c) { return begins_name(c) || (c >= '0' && c <= '9') || c == '$'; }

/// Behind the quoted thing that begins at `at`; none: it doesn't end.
std::size_t skip_quoted(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at;; at += 2) {
    at = text.find(quote, at);
    if (at == none) return none;
    if (at + 1 == text.size() || text[at + 1] != quote) return at + 1;
  }
}

/// Behind the dollar-quoted string that may begin at `at`; or behind the dollar.
std::size_t skip_dollar(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  if (end < text.size() && begins_name(text[end])) {
    while (end < text.size() && goes_on_name(text[end]) && text[end] != '$') ++end;
  }
  if (end == text.size() || text[end] != '$') return at + 1;
  const std::string_view tag = text.substr(at, end + 1 - at);
  const std::size_t close = text.find(tag, end + 1);
  return close == none ? none : close + tag.size();
}

/// Calls `comment(begin, end)` for each. False: where they are isn't certain.
template <typename Comment>
bool each_comment(std::string_view text, Comment comment) {
  if (text.contains('\\')) return false;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const char next = at + 1 < text.size() ? text[at + 1] : '\0';
    std::size_t end = at + 1;
    if (c == '$' && next >= '0' && next <= '9') {
      while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;  // a parameter
    } else if (c == '\'' || c == '"') {
      end = skip_quoted(text, at);
    } else if (c == '$') {
      end = skip_dollar(text, at);
    } else if (c == '/' && next == '*') {
      end = skip_comment(text, at);
      if (end != none) comment(at, end);
    } else if (c == '-' && next == '-') {
      end = std::min(text.find_first_of("\n\r", at), text.size());
      comment(at, end);
    } else if (goes_on_name(c)) {
      // A dollar in a name quotes nothing. Of one behind a number, versions of PostgreSQL think differently.
      while (end < text.size() && goes_on_name(text[end])) ++end;
      if (!begins_name(c) && text.substr(at, end - at).contains('$')) return false;
    }
    if (end == none) return false;
    at = end;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\n\r\f\v";
  const auto first = text.find_first_not_of(space);
  if (first == none) return {};
  return text.substr(first, text.find_last_not_of(space) + 1 - first);
}

std::string decoded(std::string_view text) {
  std::string out;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%' && at + 2 < text.size() && digit(text[at + 1]) >= 0 && digit(text[at + 2]) >= 0) {
      out += static_cast<char>(digit(text[at + 1]) * 16 + digit(text[at + 2]));
      at += 2;
    } else {
      out += text[at];
    }
  }
  return out;
}

void take(Hints& hints, std::string_view name, std::string_view value) {
  if (name == "ttl") {
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (error == std::errc{} && end == value.data() + value.size() && seconds >= 1 && seconds <= longest_ttl.count()) {
      hints.ttl = std::chrono::seconds(seconds);
    }
  } else if (name == "tags") {
    while (!value.empty()) {
      const auto comma = std::min(value.find(','), value.size());
      const auto tag = trimmed(value.substr(0, comma));
      if (!tag.empty() && tag.size() <= longest_tag && hints.tags.size() < most_tags) hints.tags.emplace_back(tag);
      value.remove_prefix(std::min(comma + 1, value.size()));
    }
  } else if (name == "cache") {
    hints.cache = value != "off";
    hints.always = value == "on";
  } else if (name == "consistency") {
    hints.consistency = value;
  } else if (name == "after") {
    hints.after = value;
  }
}

/// name=value, name='value', parted by commas. `take(name, value)`.
template <typename Take>
void each_pair(std::string_view list, Take take_pair) {
  while (!list.empty()) {
    const auto equals = list.find('=');
    if (equals == none) return;
    const auto name = trimmed(list.substr(0, equals));
    list = list.substr(equals + 1);
    const auto first = list.find_first_not_of(" \t\n\r");
    if (first == none) return;
    list.remove_prefix(first);
    std::size_t end = 0;
    if (list.front() == '\'') {
      end = list.find('\'', 1);
      if (end == none) return;
      take_pair(name, list.substr(1, end - 1));
      end = std::min(list.find(',', end), list.size());
    } else {
      end = std::min(list.find(','), list.size());
      take_pair(name, trimmed(list.substr(0, end)));
    }
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

void take_comment(Hints& hints, std::string_view comment) {
  constexpr std::string_view own = "millrace:", in_sqlcommenters = "millrace_";
  if (comment.starts_with(own)) {
    each_pair(comment.substr(own.size()), [&](auto name, auto value) { take(hints, name, value); });
  } else if (comment.contains(in_sqlcommenters)) {
    each_pair(comment, [&](auto name, auto value) {
      if (name.starts_with(in_sqlcommenters)) take(hints, name.substr(in_sqlcommenters.size()), decoded(value));
    });
  }
}

}  // namespace

std::string_view without_comments(std::string_view text, std::string& buffer) {
  if (!text.contains("/*") && !text.contains("--")) return text;
  buffer.clear();
  std::size_t copied = 0;
  const bool certain = each_comment(text, [&](std::size_t begin, std::size_t end) {
    buffer.append(text.substr(copied, begin - copied)).append(1, ' ');
    copied = end;
  });
  if (!certain || copied == 0) return text;
  buffer.append(text.substr(copied));
  return buffer;
}

Hints hints_of(std::string_view text) {
  Hints hints;
  if (!text.contains("millrace")) return hints;
  const bool certain = each_comment(text, [&](std::size_t begin, std::size_t end) {
    const std::string_view comment = text.substr(begin, end - begin);
    if (comment.starts_with("/*")) take_comment(hints, trimmed(comment.substr(2, comment.size() - 4)));
  });
  if (!certain) return {};
  std::ranges::sort(hints.tags);
  const auto twice = std::ranges::unique(hints.tags);
  hints.tags.erase(twice.begin(), twice.end());
  return hints;
}

}  // namespace millrace::sql
