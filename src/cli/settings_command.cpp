#include "cli/settings_command.hpp"

#include <cstdio>

#include "cli/exit_code.hpp"
#include "config/setting.hpp"

namespace millrace::cli {
namespace {

// As the value is written in the file.
std::string as_toml(const config::Setting& setting, const config::Settings& settings) {
  std::string text = print(setting, settings);
  if (std::holds_alternative<config::Thresholds>(setting.kind)) {
    for (std::size_t at = 0; (at = text.find(": ", at)) != std::string::npos;) text.replace(at, 2, " = ");
    return text;
  }
  if (!setting.is_text()) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

int show_settings(const config::Sources& sources) {
  const auto loaded = config::load(sources);
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    return bad_usage;
  }
  std::string_view group;
  for (const config::Setting& setting : config::settings_table()) {
    if (setting.group != group) {
      fmt::print("{}# {}\n", group.empty() ? "" : "\n", setting.group);
      group = setting.group;
    }
    const auto origin = loaded->origins.find(setting.name);
    fmt::print("{} = {}  # {}{}\n", setting.name, as_toml(setting, loaded->settings),
               origin == loaded->origins.end() ? "default" : origin->second, setting.reserved() ? ", reserved" : "");
  }
  for (const std::string& warning : loaded->warnings) fmt::print(stderr, "warning: {}\n", warning);
  return succeeded;
}

}  // namespace millrace::cli
