#include <algorithm>
#include <string_view>

#include "sql/statement.hpp"

// Any text is understood or refused; what is understood makes sense in itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using millrace::sql::StatementKind;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto statement = millrace::sql::parse(text);
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
  // What sets a setting again is a statement by itself, and says the same.
  for (const auto& change : statement->changes) {
    if (change.what != millrace::sql::SessionChange::What::set) continue;
    const auto again = millrace::sql::parse(change.text);
    const bool same = std::ranges::any_of(
        again->changes, [&](const auto& other) { return other.what == change.what && other.name == change.name; });
    if (again->kind != StatementKind::set || !same) __builtin_trap();
  }
  return 0;
}
