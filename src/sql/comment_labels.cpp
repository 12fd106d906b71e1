#include "sql/comment_labels.hpp"

#include "sql/comment_pairs.hpp"

namespace millrace::sql {
namespace {

constexpr std::string_view opens = "/*", closes = "*/";
/// What is longer than this names nothing.
constexpr std::size_t longest_label = 256;

std::string_view comment_of(std::string_view text) {
  constexpr std::string_view nothing = " \t\n\r\f\v;";
  const auto last = text.find_last_not_of(nothing);
  if (last == std::string_view::npos) return {};
  text = text.substr(0, last + 1);
  text.remove_prefix(text.find_first_not_of(nothing));
  if (text.ends_with(closes)) {
    const auto begin = text.rfind(opens);
    if (begin == std::string_view::npos || begin + opens.size() + closes.size() > text.size()) return {};
    return text.substr(begin + opens.size(), text.size() - begin - opens.size() - closes.size());
  }
  if (!text.starts_with(opens)) return {};
  const auto end = text.find(closes, opens.size());
  return end == std::string_view::npos ? std::string_view() : text.substr(opens.size(), end - opens.size());
}

}  // namespace

CommentLabels labels_of(std::string_view text) {
  CommentLabels labels;
  const std::string_view comment = comment_of(text);
  if (!comment.contains('=')) return labels;
  each_pair(comment, [&](std::string_view name, std::string_view value) {
    if (value.size() > longest_label) return;
    if (name == "application") labels.application = value;
    if (name == "project" || name == "project_id") labels.project = value;
    if (name == "route") labels.route = value;
    if (name == "traceparent") labels.traceparent = value;
  });
  return labels;
}

}  // namespace millrace::sql
