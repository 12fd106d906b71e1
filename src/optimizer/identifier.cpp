#include "optimizer/identifier.hpp"

#include <algorithm>

#include "base/in_quotes.hpp"
#include "sql/statement.hpp"

namespace millrace::optimizer {
namespace {

constexpr std::size_t longest_name = 63;

bool is_plain(std::string_view name) {
  const auto is_small = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  return !name.empty() && is_small(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return is_small(c) || (c >= '0' && c <= '9'); });
}

bool is_continued(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }  // UTF-8

}  // namespace

std::string quoted_identifier(std::string_view name) {
  if (is_plain(name)) {
    const auto statement = sql::parse("SELECT 1 FROM " + std::string(name));
    if (statement->references && statement->references->reads == std::vector{sql::Name{"", std::string(name)}})
      return std::string(name);
  }
  return in_quotes(name, '"');
}

std::string plain_name(std::string_view column) {
  if (column.ends_with(" DESC")) column.remove_suffix(std::string_view(" DESC").size());
  std::string name(column);
  std::erase(name, '"');
  return name;
}

std::string shortened(std::string name) {
  if (name.size() <= longest_name) return name;
  std::size_t end = longest_name;
  while (end > 0 && is_continued(name[end])) --end;
  name.resize(end);
  return name;
}

}  // namespace millrace::optimizer
