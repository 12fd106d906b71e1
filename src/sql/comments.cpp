#include "sql/comments.hpp"

#include <algorithm>
#include <charconv>

#include "sql/comment_pairs.hpp"
#include "sql/skip_comment.hpp"
#include "sql/skip_quoted.hpp"

namespace millrace::sql {
namespace {

constexpr std::size_t none = std::string_view::npos;
constexpr std::size_t most_tags = 64;
constexpr std::size_t longest_tag = 128;
constexpr std::chrono::seconds longest_ttl = std::chrono::hours(24) * 365;

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
  } else if (name == "rewrite") {
    hints.rewrite = value != "off";
  } else if (name == "consistency") {
    hints.consistency = value;
  } else if (name == "after") {
    hints.after = value;
  } else if (value.size() <= longest_tag) {
    if (name == "priority") hints.priority = value;
    if (name == "user_id") hints.user_id = value;
    if (name == "project_id") hints.project_id = value;
    if (name == "timeout") hints.timeout = value;
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
