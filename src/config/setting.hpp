#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "config/settings.hpp"

/// One row of the table of settings, and what can be done with any row: read a value, print it, compare, copy.
namespace millrace::config {

/// What a value looks like, which range it may have, and the field that it goes to.
struct Switch {
  bool Settings::* field;
};
struct Port {
  std::uint16_t Settings::* field;
};
struct Count {
  int Settings::* field;
  int least;
  int most;
};
struct Ratio {
  double Settings::* field;
  double least;
  double most;
};
/// A whole number of the unit at the end of the setting's name.
struct Duration {
  std::variant<std::chrono::milliseconds Settings::*, std::chrono::seconds Settings::*,
               std::chrono::minutes Settings::*, std::chrono::hours Settings::*>
      field;
  std::int64_t least;
  std::int64_t most;
};
struct Text {
  std::string Settings::* field;
  /// "an IP address", for the documentation and the error
  std::string_view shape;
  bool (*fits)(std::string_view);
  bool is_secret = false;  ///< printed as ***
};
struct Choice {
  std::span<const std::string_view> names;
  void (*set)(Settings&, std::size_t);
  std::size_t (*get)(const Settings&);
};
struct Url {
  DatabaseUrl Settings::* field;
};
struct OptionalUrl {
  std::optional<RedisUrl> Settings::* field;  ///< null where the value is empty
};
struct Thresholds {
  AlertThresholds Settings::* field;
};
using Kind = std::variant<Switch, Port, Count, Ratio, Duration, Text, Choice, Url, OptionalUrl, Thresholds>;

/// When a changed value takes effect.
enum class Effect {
  reload,   ///< at SIGHUP
  restart,  ///< at the next start
  optimizer,
  cache,
  monitor,
  executor,  ///< these four: accepted and checked, but the part that uses it isn't there yet
};

struct Setting {
  std::string_view name;
  Kind kind;
  Effect effect;
  std::string_view description;
  std::string_view group = {};

  bool reserved() const { return effect != Effect::reload && effect != Effect::restart; }
  /// Its value stands in quotes in the file.
  bool is_text() const {
    return std::holds_alternative<Text>(kind) || std::holds_alternative<Choice>(kind) ||
           std::holds_alternative<Url>(kind) || std::holds_alternative<OptionalUrl>(kind);
  }
};

/// All settings, in the order of the documentation, each with the title of its group; settings_table.cpp.
std::span<const Setting> settings_table();

/// The setting of that name, in upper or lower case; nullptr if there is none.
const Setting* find_setting(std::string_view name);

/// The known name that is nearest to a mistyped one, in upper case; empty if none is near.
std::string_view nearest_setting(std::string_view name);

/// A value as it was given. Text from the environment and the command line has no type of its own; TOML's has one, and
/// it must be the setting's.
struct Value {
  enum class Type { untyped, boolean, integer, real, string, table, other };
  std::string text = {};
  Type type = Type::untyped;
  std::string key = {};             ///< its name in the file or table that it stands in
  int line = 0;                     ///< where it stands in the file
  std::vector<Value> entries = {};  ///< of a table
};

/// Why a value can't be: the reason without the setting's name, and the line if it is that of an entry inside it.
struct Refusal {
  std::string reason;
  int line = 0;
};

std::expected<void, Refusal> assign(const Setting& setting, Settings& settings, const Value& value);

/// The value, as it could be given again; passwords are masked.
std::string print(const Setting& setting, const Settings& settings);

bool same(const Setting& setting, const Settings& one, const Settings& other);
void copy(const Setting& setting, const Settings& from, Settings& to);

/// "integer", "seconds", ... and "1 to 65535", "session, transaction", ... for the documentation.
std::string type_name(const Setting& setting);
std::string allowed_values(const Setting& setting);

}  // namespace millrace::config
