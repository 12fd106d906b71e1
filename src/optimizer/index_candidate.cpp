#include "optimizer/index_candidate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "optimizer/identifier.hpp"

namespace millrace::optimizer {
namespace {

constexpr auto suffixes =
    std::to_array<std::string_view>({" NULLS FIRST", " NULLS LAST", " DESC", " text_pattern_ops"});

/// An expression's words.
std::string word_of(std::string_view key) {
  for (const auto suffix : suffixes) {
    if (key.ends_with(suffix)) key.remove_suffix(suffix.size());
  }
  std::string name = plain_name(key);
  if (!key.starts_with('(') && !key.contains('(')) return name;
  std::string words;
  for (const char c : name) {
    const bool is_word = static_cast<unsigned char>(c) >= 0x80 || std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (is_word) {
      words += c;
    } else if (!words.empty() && words.back() != '_') {
      words += '_';
    }
  }
  while (words.ends_with('_')) words.pop_back();
  return words;
}

/// The same order read backwards. Empty: it isn't known.
std::string turned(std::string_view key) {
  if (key.ends_with(" NULLS FIRST") || key.ends_with(" NULLS LAST")) return {};
  if (key.ends_with(" DESC")) return std::string(key.substr(0, key.size() - std::string_view(" DESC").size()));
  return std::string(key) + " DESC";
}

}  // namespace

std::string IndexCandidate::name() const {
  auto text = fmt::format("{}.{} ({})", quoted_identifier(schema), quoted_identifier(table), fmt::join(columns, ", "));
  if (!include.empty()) text += fmt::format(" INCLUDE ({})", fmt::join(include, ", "));
  if (!where.empty()) text += " WHERE " + where;
  return text;
}

std::string IndexCandidate::index_name() const {
  std::string index = "idx_" + table;
  for (const auto& column : columns) index += "_" + word_of(column);
  return shortened(std::move(index));
}

std::string IndexCandidate::statement(std::string_view index) const {
  return fmt::format("CREATE INDEX CONCURRENTLY {} ON {}", quoted_identifier(index), name());
}

std::string_view without_direction(std::string_view key) {
  for (const auto suffix : suffixes) {
    if (key.ends_with(suffix)) key.remove_suffix(suffix.size());
  }
  return key;
}

bool begins_with(const std::vector<std::string>& keys, const std::vector<std::string>& first) {
  if (first.size() > keys.size()) return false;
  if (std::equal(first.begin(), first.end(), keys.begin())) return true;
  return std::equal(first.begin(), first.end(), keys.begin(),
                    [](const std::string& key, const std::string& of) { return turned(key) == of; });
}

}  // namespace millrace::optimizer
