#include "config/toml_file.hpp"

#include <toml++/toml.h>

#include <cerrno>
#include <fstream>
#include <sstream>

namespace millrace::config {
namespace {

int line_of(const toml::source_region& source) { return static_cast<int>(source.begin.line); }

std::vector<Value> entries_of(const toml::table& table);

Value value_of(const toml::node& node) {
  using Type = Value::Type;
  if (const auto* text = node.as_string()) return {.text = text->get(), .type = Type::string};
  if (const auto* boolean = node.as_boolean())
    return {.text = boolean->get() ? "true" : "false", .type = Type::boolean};
  if (const auto* integer = node.as_integer())
    return {.text = fmt::format("{}", integer->get()), .type = Type::integer};
  if (const auto* real = node.as_floating_point()) {
    return {.text = fmt::format("{}", real->get()), .type = Type::real};
  }
  if (const auto* table = node.as_table()) return {.type = Type::table, .entries = entries_of(*table)};
  return {.text = node.is_array() ? "a list" : "a date or time", .type = Type::other};
}

std::vector<Value> entries_of(const toml::table& table) {
  std::vector<Value> entries;
  for (const auto& [key, node] : table) {
    Value& entry = entries.emplace_back(value_of(node));
    entry.key = key.str();
    entry.line = line_of(key.source());
  }
  // TOML's table is sorted by name; the first error to be reported is the first in the file.
  std::sort(entries.begin(), entries.end(),
            [](const Value& a, const Value& b) { return std::tie(a.line, a.key) < std::tie(b.line, b.key); });
  return entries;
}

}  // namespace

Result<std::vector<Value>> read_toml_file(const std::string& path) {
  const auto unreadable = [&](int reason) {
    return fail(fmt::format("{}: cannot read the configuration file: {}", path, std::strerror(reason)));
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return unreadable(EISDIR);
  std::ifstream file(path);
  if (!file) return unreadable(errno);
  std::ostringstream content;
  content << file.rdbuf();
  // Debian's library is built with exceptions; they end here.
  try {
    return entries_of(toml::parse(content.str(), path));
  } catch (const toml::parse_error& error) {
    return fail(fmt::format("{}:{}: not valid TOML: {}", path, line_of(error.source()), error.description()));
  }
}

}  // namespace millrace::config
