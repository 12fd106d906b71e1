#include "config/markdown.hpp"

#include "config/load.hpp"
#include "config/setting.hpp"

namespace millrace::config {
namespace {

constexpr std::string_view preface = R"(# Settings

<!-- Written by `millrace settings --markdown` from src/config/settings_table.cpp; a test compares the two. -->

Every setting can be given in four ways; each overrides those before it:

1. its default;
2. a TOML file, by its name in upper or lower case: `LISTEN_PORT = 6432`. The file is the one that `--config` names, or
   the environment variable `MILLRACE_CONFIG`, or else `/etc/millrace/millrace.toml` if it exists;
3. an environment variable, `MILLRACE_LISTEN_PORT` or `LISTEN_PORT`; the first wins. `PERFORMANCE_ALERT_THRESHOLDS` is a
   JSON object there;
4. a flag of the command line: `--listen-port 6432`.

`millrace serve --check` validates them and says file, line and reason of what can't be. `millrace settings` prints what
is in effect and where each value was given; passwords are masked. Keep a password out of the flags: other users of the
machine can read a program's command line.

*Takes effect*: `reload` means at once after SIGHUP (`systemctl reload millrace`), `restart` means at the next start.
*Reserved* settings are accepted and checked, and take effect with the part of Millrace that is named.
)";

std::string_view takes_effect(Effect effect) {
  switch (effect) {
    case Effect::reload:
      return "reload";
    case Effect::restart:
      return "restart";
    case Effect::optimizer:
      return "reserved: with the optimizer";
    case Effect::cache:
      return "reserved: with the cache";
    case Effect::monitor:
      return "reserved: with the monitor";
    case Effect::executor:
      return "reserved: with the executor";
  }
  return "";
}

}  // namespace

std::string settings_markdown() {
  std::string out(preface);
  const Settings defaults;
  std::string_view group;
  for (const Setting& setting : settings_table()) {
    if (setting.group != group) {
      group = setting.group;
      out += fmt::format(
          "\n## {}\n\n| Setting | Type | Allowed | Default | Takes effect | What it is |\n"
          "|---|---|---|---|---|---|\n",
          group);
    }
    const std::string value = print(setting, defaults);
    out +=
        fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", setting.name, type_name(setting), allowed_values(setting),
                    value.empty() ? "*empty*" : "`" + value + "`", takes_effect(setting.effect), setting.description);
  }
  return out;
}

}  // namespace millrace::config
