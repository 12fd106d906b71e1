#include <string>

#include "sql/describe.hpp"
#include "sql/fuzz/subjects.hpp"
#include "sql/statement.hpp"
#include "sql/statement_memo.hpp"

namespace {

/// Other values in the place of digits and of letters in strings: a text that may have the same template.
std::string with_other_constants(std::string_view text) {
  std::string out(text);
  bool in_string = false;
  for (char& c : out) {
    if (c == '\'') in_string = !in_string;
    if (c >= '0' && c <= '8') ++c;
    if (in_string && c >= 'a' && c <= 'y') ++c;
  }
  return out;
}

}  // namespace

// The memo says of a text what the parser says, although another text came first.
void millrace::sql::fuzz::memo(std::string_view first) {
  const std::string second = with_other_constants(first);
  StatementMemo memo(4);
  for (const std::string_view text : {first, std::string_view(second), first, first}) {
    const auto remembered = memo.find_or_parse(text);
    if (remembered == nullptr) return;
    const auto direct = sql::parse(text);
    if (remembered->fingerprint != direct->fingerprint) __builtin_trap();
    if (describe(*remembered) != describe(*direct)) __builtin_trap();
    const bool names = direct->references != nullptr;
    if ((remembered->references != nullptr) != names) __builtin_trap();
    if (names && *remembered->references != *direct->references) __builtin_trap();
  }
}
