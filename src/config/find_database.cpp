#include "config/find_database.hpp"

#include <charconv>
#include <fstream>

#include "config/dotenv.hpp"

namespace millrace::config {
namespace {

using Variables = std::map<std::string, std::string>;

constexpr std::string_view setting = "DATABASE_URL";
constexpr std::string_view url_variables[] = {"MILLRACE_DATABASE_URL", setting};
constexpr std::size_t longest_dotenv = 1024 * 1024;

const std::string* find(const Variables& variables, std::string_view name) {
  const auto found = variables.find(std::string(name));
  return found == variables.end() || found->second.empty() ? nullptr : &found->second;
}

/// A file that can't be read, or is no file, says nothing.
Variables read_dotenv(const std::string& path, const Variables& environment) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error) || error) return {};
  std::ifstream file(path, std::ios::binary);
  std::string text(longest_dotenv, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_dotenv(text, environment);
}

/// The sources without what they say about the database.
Sources without_database(Sources sources) {
  for (const auto name : url_variables) sources.environment.erase(std::string(name));
  std::erase_if(sources.flags, [](const auto& flag) { return flag.first == setting; });
  return sources;
}

Result<FoundDatabase> found(const Sources& sources, const DatabaseUrl& url, std::string origin) {
  FoundDatabase database{.sources = without_database(sources), .origin = std::move(origin), .left_out = {}};
  database.sources.flags.emplace_back(setting, with_password(url));
  return database;
}

Result<FoundDatabase> found_url(const Sources& sources, std::string_view text, std::string origin) {
  std::vector<std::string> left_out;
  const auto url = parse_database_url(text, &left_out);
  if (!url) return fail(fmt::format("{}: {}", origin, url.error().message));
  auto database = found(sources, *url, std::move(origin));
  if (database) database->left_out = std::move(left_out);
  return database;
}

/// As libpq's variables say it; null: they don't.
Result<std::optional<FoundDatabase>> by_libpq(const Sources& sources, const Variables& variables,
                                              std::string_view where) {
  DatabaseUrl url;
  std::string names;
  std::vector<std::string> left_out;
  const auto take = [&](std::string_view name) {
    const auto* value = find(variables, name);
    if (value != nullptr) names.append(names.empty() ? "" : ", ").append(name);
    return value;
  };
  const auto refuse = [&](std::string_view name, std::string_view reason) {
    return fail(fmt::format("{}{}: {}", name, where, reason));
  };
  const auto* const hosts = take("PGHOST");
  const auto* const ports = take("PGPORT");
  if (hosts != nullptr || ports != nullptr) {
    const auto set = set_hosts(url, hosts != nullptr ? *hosts : url.host, ports != nullptr ? *ports : "");
    if (!set) return refuse(ports != nullptr ? "PGPORT" : "PGHOST", set.error().message);
  }
  if (const auto* user = take("PGUSER")) url.user = url.database = *user;
  if (const auto* database = take("PGDATABASE")) url.database = *database;
  if (const auto* password = take("PGPASSWORD")) url.password = *password;
  if (names.empty()) return std::nullopt;
  if (const auto* mode = find(variables, "PGSSLMODE")) {
    url.sslmode = parse_tls_mode(*mode);
    if (!url.sslmode) left_out.emplace_back("PGSSLMODE");
  }
  if (const auto* target = find(variables, "PGTARGETSESSIONATTRS")) {
    const auto known = parse_target_session_attrs(*target);
    if (!known) left_out.emplace_back("PGTARGETSESSIONATTRS");
    url.target = known.value_or(url.target);
  }
  if (const auto* authorities = find(variables, "PGSSLROOTCERT")) url.sslrootcert = *authorities;
  for (const auto* name : {"PGSERVICE", "PGHOSTADDR", "PGPASSFILE"}) {
    if (find(variables, name) != nullptr) left_out.emplace_back(name);
  }
  auto database = found(sources, url, names.append(where));
  if (!database) return std::unexpected(std::move(database).error());
  database->left_out = std::move(left_out);
  return *std::move(database);
}

}  // namespace

Result<FoundDatabase> find_database(const Sources& sources, const std::optional<std::string>& url,
                                    const std::string& dotenv_file) {
  if (url) return found_url(sources, *url, "command line");
  const auto flag =
      std::find_if(sources.flags.rbegin(), sources.flags.rend(), [](const auto& one) { return one.first == setting; });
  if (flag != sources.flags.rend()) return found_url(sources, flag->second, flag_name(setting));
  for (const auto name : url_variables) {
    if (const auto* text = find(sources.environment, name)) {
      return found_url(sources, *text, fmt::format("environment variable {}", name));
    }
  }

  const auto rest = without_database(sources);
  const auto loaded = load(rest);
  if (!loaded) return std::unexpected(loaded.error());
  if (const auto origin = loaded->origins.find(setting); origin != loaded->origins.end()) {
    return FoundDatabase{.sources = rest, .origin = origin->second, .left_out = {}};
  }

  const auto dotenv = read_dotenv(dotenv_file, sources.environment);
  for (const auto name : url_variables) {
    if (const auto* text = find(dotenv, name))
      return found_url(rest, *text, fmt::format("{} in {}", name, dotenv_file));
  }
  const auto in_dotenv = " in " + dotenv_file;
  for (const auto& [variables, where] :
       {std::pair(&sources.environment, std::string_view("")), std::pair(&dotenv, std::string_view(in_dotenv))}) {
    auto database = by_libpq(rest, *variables, where);
    if (!database) return std::unexpected(std::move(database).error());
    if (*database) return **std::move(database);
  }
  return FoundDatabase{.sources = rest, .origin = "default", .left_out = {}};
}

}  // namespace millrace::config
