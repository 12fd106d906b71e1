#include "pipeline/kept_text.hpp"

#include <algorithm>

#include "sql/normalized_text.hpp"

namespace millrace::pipeline {
namespace {

/// `word` is in lower case.
bool mentions(std::string_view text, std::string_view word) {
  const auto is_same = [](char one, char other) { return (one >= 'A' && one <= 'Z' ? one | 0x20 : one) == other; };
  return !std::ranges::search(text, word, is_same).empty();
}

}  // namespace

bool constants_may_be_kept(sql::StatementKind kind, std::string_view text) {
  using enum sql::StatementKind;
  switch (kind) {
    case copy_from:
    case copy_to:
      if (mentions(text, "program")) return false;
      break;
    case empty:
    case select:
    case insert:
    case update:
    case delete_:
    case merge:
    case transaction:
    case show:
    case prepare:
    case execute:
    case declare_cursor:
    case fetch:
    case call:
    case explain:
      break;
    default:
      return false;
  }
  return !mentions(text, "password") && !mentions(text, "dblink") && !mentions(text, "crypt(");
}

std::string without_constants(sql::StatementKind kind, std::string_view text, bool failed) {
  if (kind == sql::StatementKind::unparsed && failed) return "(not parsed)";
  return sql::normalized(text);
}

}  // namespace millrace::pipeline
