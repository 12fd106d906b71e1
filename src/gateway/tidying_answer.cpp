#include "gateway/tidying_answer.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

constexpr std::string_view unlock = "select pg_advisory_unlock_all()";
constexpr std::string_view discard_all = "discard all";

/// With the tags of their answers.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> tidying = {{
    {unlock, "SELECT 1"},
    {"close all", "CLOSE CURSOR ALL"},
    {"unlisten *", "UNLISTEN"},
    {"reset all", "RESET"},
    {"set session authorization default", "SET"},
    {"discard sequences", "DISCARD SEQUENCES"},
    {"discard temp", "DISCARD TEMP"},
    {discard_all, "DISCARD ALL"},
}};

/// No pool says more.
constexpr std::size_t most_text = 512;

/// In small letters, with one space where there is any white space, and none at its ends.
std::string plain(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isspace(byte) == 0) {
      out.push_back(static_cast<char>(std::tolower(byte)));
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

void append_unlocked(std::string& out) {
  constexpr std::uint32_t void_oid = 2278;
  constexpr std::int16_t void_size = 4;
  const std::array columns = {
      pgwire::FieldDescription{.name = "pg_advisory_unlock_all", .type_oid = void_oid, .type_size = void_size}};
  pgwire::append_row_description(out, columns);
  pgwire::append_data_row(out, std::array{pgwire::Value("")});
}

}  // namespace

bool append_tidying_answer(std::string& out, std::string_view text) {
  if (text.size() > most_text) return false;
  const std::size_t before = out.size();
  std::size_t statements = 0;
  bool is_alone = false;  // it can't be said along with others
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(';', at), text.size());
    const std::string statement = plain(text.substr(at, end - at));
    at = end + 1;
    if (statement.empty()) continue;
    const auto* const found = std::ranges::find(tidying, statement, [](const auto& one) { return one.first; });
    if (found == tidying.end()) {
      out.resize(before);
      return false;
    }
    if (statement == unlock) append_unlocked(out);
    pgwire::append_command_complete(out, found->second);
    is_alone = is_alone || statement == discard_all;
    ++statements;
  }
  if (statements > 0 && !(is_alone && statements > 1)) return true;
  out.resize(before);
  return false;
}

}  // namespace millrace::gateway
