#include "gateway/text_meaning.hpp"

#include <algorithm>
#include <array>

namespace millrace::gateway {
namespace {

constexpr MeaningChange everything{.lexing = true, .constants = true, .names = true};

MeaningChange change_of(std::string_view setting) {
  constexpr std::array<std::string_view, 8> constants = {
      "datestyle", "intervalstyle", "timezone",    "timezone_abbreviations",
      "xmloption", "array_nulls",   "lc_monetary", "transform_null_equals"};
  if (changes_lexing(setting)) return {.lexing = true, .constants = true};
  if (std::ranges::find(constants, setting) != constants.end()) return {.constants = true};
  return {.names = setting == "search_path" || setting == "role"};
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Where `word`, in lower case, stands in the text.
std::string_view::iterator find(std::string_view text, std::string_view word) {
  return std::search(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) { return lower(a) == b; });
}

bool contains(std::string_view text, std::string_view word) { return find(text, word) != text.end(); }

}  // namespace

bool changes_lexing(std::string_view setting) {
  return setting == "standard_conforming_strings" || setting == "client_encoding" || setting == "backslash_quote";
}

TextMeaning meaning_under(const backend::Settings* settings) {
  TextMeaning meaning;
  if (settings == nullptr) return meaning;
  for (const auto& change : *settings) {
    const MeaningChange changed = change_of(change.name);
    if (changed.constants) meaning.constants += change.text + ";";
    if (changed.names) meaning.names += change.text + ";";
  }
  return meaning;
}

MeaningChange change_of(const sql::Statement& statement) {
  using What = sql::SessionChange::What;
  if (statement.kind == sql::StatementKind::unparsed) return everything;
  MeaningChange changed;
  for (const auto& change : statement.changes) {
    switch (change.what) {
      case What::set:
      case What::reset:
        changed |= change_of(change.name);
        break;
      case What::reset_all:
      case What::discard_all:
        changed |= everything;
        break;
      case What::deallocate:
      case What::deallocate_all:
      case What::prepare:
      case What::execute:
      case What::pin:
        break;
    }
  }
  for (const auto& name : statement.other_settings) changed |= name.empty() ? everything : change_of(name);
  return changed;
}

bool holds_constants(std::string_view text) {
  const auto begins_one = [](char c) { return c == '\'' || static_cast<unsigned char>(c) >= 0x80; };
  if (std::ranges::any_of(text, begins_one) || contains(text, "null")) return true;
  // A parameter is a dollar and a number; all else with a dollar may quote a string.
  for (std::size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    if (at + 1 == text.size() || text[at + 1] < '0' || text[at + 1] > '9') return true;
  }
  return false;
}

bool holds_moments(std::string_view text) {
  if (!holds_constants(text)) return false;
  for (const std::string_view word : {"today", "tomorrow", "yesterday"}) {
    if (contains(text, word)) return true;
  }
  // A call of now() is looked at when it is executed.
  while (true) {
    const auto found = find(text, "now");
    if (found == text.end()) return false;
    text.remove_prefix(static_cast<std::size_t>(found - text.begin()) + 3);
    const std::size_t next = text.find_first_not_of(" \t\n\r\f");
    if (next == std::string_view::npos || text[next] != '(') return true;
  }
}

}  // namespace millrace::gateway
