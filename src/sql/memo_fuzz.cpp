#include <string>
#include <string_view>

#include "sql/describe.hpp"
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
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view first(reinterpret_cast<const char*>(data), size);
  const std::string second = with_other_constants(first);
  millrace::sql::StatementMemo memo(4);
  for (const std::string_view text : {first, std::string_view(second), first, first}) {
    const auto remembered = memo.find_or_parse(text);
    if (remembered == nullptr) return 0;
    const auto direct = millrace::sql::parse(text);
    if (remembered->fingerprint != direct->fingerprint) __builtin_trap();
    if (describe(*remembered) != describe(*direct)) __builtin_trap();
  }
  return 0;
}
