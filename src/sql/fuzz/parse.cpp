#include <algorithm>

#include "sql/describe.hpp"
#include "sql/explained_text.hpp"
#include "sql/fuzz/subjects.hpp"
#include "sql/restrictions.hpp"
#include "sql/statement.hpp"

// Any text is understood or refused; what is understood makes sense in itself.
void millrace::sql::fuzz::parse(std::string_view text) {
  const auto statement = sql::parse(text);
  if (statement == nullptr) __builtin_trap();
  switch (statement->kind) {
    case StatementKind::unparsed:
      if (statement->why_unparsed.empty() || !statement->writes) __builtin_trap();
      break;
    case StatementKind::empty:
      if (statement->statements != 0) __builtin_trap();
      break;
    case StatementKind::multiple:
      if (statement->statements < 2) __builtin_trap();
      break;
    default:
      if (statement->statements != 1) __builtin_trap();
      break;
  }
  // What Millrace is asked to explain is what stands behind the option.
  if (statement->explained != nullptr) {
    const auto explained = explained_text(text);
    if (statement->kind != StatementKind::explain || explained.empty() || !text.ends_with(explained)) __builtin_trap();
    if (describe(*sql::parse(explained)) != describe(*statement->explained)) __builtin_trap();
    if (statement->explained->kind == StatementKind::unparsed) __builtin_trap();
  }
  // A target is written: no one may take the statement for a read.
  if (statement->references != nullptr) {
    if ((statement->kinds & kinds_with_references) == 0) __builtin_trap();
    if (!statement->references->writes.empty() && !statement->writes) __builtin_trap();
  }
  // Who knows which rows are read knows all relations that are.
  if (const auto restrictions = restrictions_of(text)) {
    if (statement->kind != StatementKind::select) __builtin_trap();
    std::vector<Name> reads;
    for (const auto& read : restrictions->reads) reads.push_back(read.relation);
    std::ranges::sort(reads);
    const auto twice = std::ranges::unique(reads);
    reads.erase(twice.begin(), twice.end());
    if (reads != statement->references->reads) __builtin_trap();
  }
  // What sets a setting again is a statement by itself, and says the same.
  for (const auto& change : statement->changes) {
    if (change.what != SessionChange::What::set) continue;
    const auto again = sql::parse(change.text);
    const bool same = std::ranges::any_of(
        again->changes, [&](const auto& other) { return other.what == change.what && other.name == change.name; });
    if (again->kind != StatementKind::set || !same) __builtin_trap();
  }
}
