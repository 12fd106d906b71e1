#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "config/settings.hpp"

namespace millrace::config {

/// Where settings are read from; each overrides those before it: defaults < file < environment < flags.
struct Sources {
  /// The file that was asked for on the command line. Without one: MILLRACE_CONFIG of the environment, which must exist
  /// too, or else the default file if it exists.
  std::optional<std::string> file = {};
  std::string default_file = "/etc/millrace/millrace.toml";
  /// Here a setting is MILLRACE_NAME, or NAME; the first wins.
  std::map<std::string, std::string> environment = {};
  /// Name and value, in the order given.
  std::vector<std::pair<std::string, std::string>> flags = {};
};

/// The environment of this process.
std::map<std::string, std::string> process_environment();

struct Loaded {
  Settings settings;
  /// Setting's name to where it was given ("millrace.toml:3", "environment variable POOL_SIZE", "--pool-size").
  /// What isn't here has its default.
  std::map<std::string_view, std::string> origins;
  /// The file that was read; empty if there was none.
  std::string file;
  /// Not errors, but worth a line in the log.
  std::vector<std::string> warnings;
};

/// Reads and checks all settings. The error's message says where and why ("millrace.toml:3: LISTEN_PORT: ...").
Result<Loaded> load(const Sources& sources);

/// The names of the settings whose values differ.
std::vector<std::string_view> changed(const Settings& before, const Settings& after);

/// What a running program may take over at a reload: `after`, but for the settings that need a restart.
Settings reloadable(const Settings& before, const Settings& after);

/// "--listen-port" for LISTEN_PORT.
std::string flag_name(std::string_view setting);

}  // namespace millrace::config
