#include "config/load.hpp"

#include <pwd.h>
#include <unistd.h>

#include "config/setting.hpp"
#include "config/toml_file.hpp"

extern char** environ;

namespace millrace::config {
namespace {

constexpr std::string_view prefix = "MILLRACE_";

std::unexpected<Error> unknown(const std::string& where, std::string_view name) {
  const std::string_view nearest = nearest_setting(name);
  return fail(fmt::format("{}: {} is not a setting{}", where, name,
                          nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest)));
}

std::unexpected<Error> refused(const std::string& where, const Setting& setting, const Refusal& refusal) {
  return fail(fmt::format("{}: {}: {}", where, setting.name, refusal.reason));
}

Result<> read_file(const std::string& path, Loaded& loaded) {
  const auto entries = read_toml_file(path);
  if (!entries) return std::unexpected(entries.error());
  loaded.file = path;
  for (const Value& entry : *entries) {
    const std::string where = fmt::format("{}:{}", path, entry.line);
    const Setting* setting = find_setting(entry.key);
    if (setting == nullptr) return unknown(where, entry.key);
    if (const auto earlier = loaded.origins.find(setting->name); earlier != loaded.origins.end()) {
      return fail(fmt::format("{}: {} was given already ({})", where, setting->name, earlier->second));
    }
    if (const auto done = assign(*setting, loaded.settings, entry); !done) {
      const int line = done.error().line == 0 ? entry.line : done.error().line;
      return refused(fmt::format("{}:{}", path, line), *setting, done.error());
    }
    loaded.origins[setting->name] = where;
  }
  return {};
}

Result<> read_environment(const std::map<std::string, std::string>& environment, Loaded& loaded) {
  for (const Setting& setting : settings_table()) {
    auto found = environment.find(std::string(prefix).append(setting.name));
    if (found == environment.end()) found = environment.find(std::string(setting.name));
    if (found == environment.end()) continue;
    const std::string where = "environment variable " + found->first;
    if (const auto done = assign(setting, loaded.settings, {.text = found->second}); !done) {
      return refused(where, setting, done.error());
    }
    loaded.origins[setting.name] = where;
  }
  // Only a warning, and only for what looks mistyped: others set names with this prefix too (Kubernetes:
  // MILLRACE_PORT).
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(prefix)) continue;
    const std::string rest = name.substr(prefix.size());
    if (find_setting(rest) != nullptr || nearest_setting(rest).empty()) continue;
    loaded.warnings.push_back(unknown("environment variable " + name, rest).error().message);
  }
  return {};
}

Result<> read_flags(const std::vector<std::pair<std::string, std::string>>& flags, Loaded& loaded) {
  for (const auto& [name, value] : flags) {
    const Setting* setting = find_setting(name);
    if (setting == nullptr) return unknown("command line", name);
    const std::string where = flag_name(setting->name);
    if (const auto done = assign(*setting, loaded.settings, {.text = value}); !done) {
      return refused(where, *setting, done.error());
    }
    loaded.origins[setting->name] = where;
  }
  return {};
}

std::string operating_system_user() {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return "postgres";
  return found->pw_name;
}

// The URL speaks last about the connection that it describes, and names a user as libpq would.
void complete(Loaded& loaded) {
  Settings& settings = loaded.settings;
  DatabaseUrl& url = settings.database_url;
  const auto origin = [&] { return loaded.origins["DATABASE_URL"] + " (DATABASE_URL)"; };
  if (url.sslmode) {
    settings.server_tls_mode = *url.sslmode;
    loaded.origins["SERVER_TLS_MODE"] = origin();
  }
  if (!url.sslrootcert.empty()) {
    settings.server_tls_ca_file = url.sslrootcert;
    loaded.origins["SERVER_TLS_CA_FILE"] = origin();
  }
  if (url.user.empty()) url.user = operating_system_user();
}

// What single values can't show.
Result<> check_together(const Loaded& loaded) {
  const Settings& settings = loaded.settings;
  const auto because = [&](std::string_view name, std::string_view reason) {
    const auto origin = loaded.origins.find(name);
    const std::string where = origin == loaded.origins.end() ? "" : origin->second + ": ";
    return fail(fmt::format("{}{}: {}", where, name, reason));
  };
  if (settings.tls_cert_file.empty() && !settings.tls_key_file.empty()) {
    return because("TLS_KEY_FILE", "a key needs its certificate: set TLS_CERT_FILE too");
  }
  if (!settings.tls_cert_file.empty() && settings.tls_key_file.empty()) {
    return because("TLS_CERT_FILE", "a certificate needs its key: set TLS_KEY_FILE too");
  }
  if (settings.client_tls_mode == ClientTlsMode::require && settings.tls_cert_file.empty()) {
    return because("CLIENT_TLS_MODE", "\"require\" needs TLS_CERT_FILE and TLS_KEY_FILE");
  }
  if (settings.auth_type != AuthType::trust && settings.auth_file.empty() && settings.auth_query.empty()) {
    return because("AUTH_QUERY", "without AUTH_FILE and AUTH_QUERY nobody could log in");
  }
  if (!settings.database_url.more_hosts.empty() && !settings.enable_emergency_circuit_breaker) {
    return because("ENABLE_EMERGENCY_CIRCUIT_BREAKER",
                   "DATABASE_URL names several hosts, and it is what finds the one that is there");
  }
  if (settings.listen_port != 0 && settings.listen_port == settings.http_port &&
      settings.listen_host == settings.http_host) {
    return because("HTTP_PORT", fmt::format("{} is LISTEN_PORT already", settings.http_port));
  }
  return {};
}

bool is_loopback(const std::string& host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

// What may be meant so, but had better be known.
void warn_of_exposure(Loaded& loaded) {
  const Settings& settings = loaded.settings;
  if (settings.auth_type == AuthType::trust && !is_loopback(settings.listen_host)) {
    loaded.warnings.push_back(
        fmt::format("AUTH_TYPE is trust, so whoever can reach {} logs in without a password", settings.listen_host));
  }
  const auto is_in_file = [&](std::string_view name) {
    const auto origin = loaded.origins.find(name);
    return !loaded.file.empty() && origin != loaded.origins.end() && origin->second.starts_with(loaded.file + ":");
  };
  if ((!settings.database_url.password.empty() && is_in_file("DATABASE_URL")) ||
      (settings.redis_url && !settings.redis_url->password.empty() && is_in_file("REDIS_URL"))) {
    std::error_code error;
    const auto permissions = std::filesystem::status(loaded.file, error).permissions();
    if (!error && (permissions & std::filesystem::perms::others_read) != std::filesystem::perms::none) {
      loaded.warnings.push_back(loaded.file + " holds a password and can be read by all users of this machine");
    }
  }
}

}  // namespace

std::map<std::string, std::string> process_environment() {
  std::map<std::string, std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t split = text.find('=');
    if (split != std::string_view::npos) all.emplace(text.substr(0, split), text.substr(split + 1));
  }
  return all;
}

Result<Loaded> load(const Sources& sources) {
  Loaded loaded;
  std::string path = sources.file.value_or("");
  if (path.empty()) {
    const auto named = sources.environment.find("MILLRACE_CONFIG");
    if (named != sources.environment.end()) path = named->second;
  }
  std::error_code ignored;
  if (path.empty() && std::filesystem::exists(sources.default_file, ignored)) path = sources.default_file;

  if (!path.empty()) {
    if (auto done = read_file(path, loaded); !done) return std::unexpected(std::move(done).error());
  }
  if (auto done = read_environment(sources.environment, loaded); !done) return std::unexpected(std::move(done).error());
  if (auto done = read_flags(sources.flags, loaded); !done) return std::unexpected(std::move(done).error());
  complete(loaded);
  if (auto done = check_together(loaded); !done) return std::unexpected(std::move(done).error());
  warn_of_exposure(loaded);
  return loaded;
}

std::vector<std::string_view> changed(const Settings& before, const Settings& after) {
  std::vector<std::string_view> names;
  for (const Setting& setting : settings_table()) {
    if (!same(setting, before, after)) names.push_back(setting.name);
  }
  return names;
}

Settings reloadable(const Settings& before, const Settings& after) {
  Settings out = after;
  for (const Setting& setting : settings_table()) {
    if (setting.effect == Effect::restart) copy(setting, before, out);
  }
  return out;
}

std::string flag_name(std::string_view setting) {
  std::string out = "--";
  for (const char c : setting) {
    if (c == '_') {
      out += '-';
    } else {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  return out;
}

}  // namespace millrace::config
