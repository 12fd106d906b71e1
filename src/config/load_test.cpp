#include "config/load.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "config/setting.hpp"

namespace millrace::config {
namespace {

class Load : public testing::Test {
 protected:
  Load() { sources_.default_file = ""; }
  ~Load() override { std::filesystem::remove_all(directory_); }

  /// Writes the file that will be read.
  void file(std::string_view content) {
    path_ = directory_ / "millrace.toml";
    std::ofstream(path_) << content;
    sources_.file = path_;
  }

  Settings settings() {
    const auto loaded = load(sources_);
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
    return loaded ? loaded->settings : Settings{};
  }

  /// The error's message, with FILE for the file's path.
  std::string error() {
    const auto loaded = load(sources_);
    if (loaded) return "no error";
    std::string message = loaded.error().message;
    if (const auto at = message.find(path_.string()); !path_.empty() && at != std::string::npos) {
      message.replace(at, path_.string().size(), "FILE");
    }
    return message;
  }

  Sources sources_;
  std::filesystem::path directory_ = [] {
    std::string pattern = std::filesystem::temp_directory_path() / "millrace-load-XXXXXX";
    return std::filesystem::path(mkdtemp(pattern.data()));
  }();
  std::filesystem::path path_;
};

TEST_F(Load, WithoutAnySourceEverythingHasItsDefault) {
  const Settings loaded = settings();
  Settings defaults;
  defaults.database_url.user = loaded.database_url.user;
  EXPECT_EQ(changed(defaults, loaded), std::vector<std::string_view>{});
  EXPECT_FALSE(loaded.database_url.user.empty()) << "the operating system's user";
}

TEST_F(Load, DefaultsAreInTheirOwnRange) {
  for (const Setting& setting : settings_table()) {
    if (setting.name == "DATABASE_URL") continue;  // its printed form is the same, but for the user
    Settings settings;
    const auto assigned = assign(setting, settings, {.text = print(setting, Settings{})});
    EXPECT_TRUE(assigned) << setting.name << ": " << (assigned ? "" : assigned.error().reason);
    EXPECT_TRUE(same(setting, settings, Settings{})) << setting.name;
  }
}

TEST_F(Load, TheFileTakesNamesInEitherCase) {
  file("listen_port = 7000\nPOOL_MODE = \"transaction\"\n");
  EXPECT_EQ(settings().listen_port, 7000);
  EXPECT_EQ(settings().pool_mode, PoolMode::transaction);
}

TEST_F(Load, EnvironmentBeatsFileAndFlagsBeatEnvironment) {
  file("POOL_SIZE = 1\n");
  EXPECT_EQ(settings().pool_size, 1);
  sources_.environment = {{"POOL_SIZE", "2"}};
  EXPECT_EQ(settings().pool_size, 2);
  sources_.environment = {{"POOL_SIZE", "2"}, {"MILLRACE_POOL_SIZE", "3"}};
  EXPECT_EQ(settings().pool_size, 3);
  sources_.flags = {{"POOL_SIZE", "4"}};
  EXPECT_EQ(settings().pool_size, 4);
  sources_.flags = {{"POOL_SIZE", "4"}, {"POOL_SIZE", "5"}};
  EXPECT_EQ(settings().pool_size, 5);
}

TEST_F(Load, OriginsSayWhereAValueWasGiven) {
  file("# a comment\nPOOL_SIZE = 1\nLISTEN_PORT = 0\n");
  sources_.environment = {{"MILLRACE_LISTEN_PORT", "7001"}};
  sources_.flags = {{"HTTP_PORT", "7002"}};
  const auto loaded = load(sources_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->origins.at("POOL_SIZE"), path_.string() + ":2");
  EXPECT_EQ(loaded->origins.at("LISTEN_PORT"), "environment variable MILLRACE_LISTEN_PORT");
  EXPECT_EQ(loaded->origins.at("HTTP_PORT"), "--http-port");
  EXPECT_FALSE(loaded->origins.contains("LISTEN_HOST"));
}

TEST_F(Load, TheFileIsNamedByFlagThenEnvironmentThenDefault) {
  file("POOL_SIZE = 1\n");
  sources_.default_file = *std::exchange(sources_.file, std::nullopt);
  EXPECT_EQ(settings().pool_size, 1);

  const auto other = directory_ / "other.toml";
  std::ofstream(other) << "POOL_SIZE = 2\n";
  sources_.environment = {{"MILLRACE_CONFIG", other}};
  EXPECT_EQ(settings().pool_size, 2);

  sources_.environment = {{"MILLRACE_CONFIG", directory_ / "missing.toml"}};
  EXPECT_EQ(error(),
            (directory_ / "missing.toml").string() + ": cannot read the configuration file: No such file or directory");
  sources_.environment = {};
  sources_.default_file = directory_ / "missing.toml";
  EXPECT_EQ(settings().pool_size, 20);
}

TEST_F(Load, AnUnknownNameIsAnErrorWithTheNearestName) {
  file("\n\nLISTEN_PROT = 6432\n");
  EXPECT_EQ(error(), "FILE:3: LISTEN_PROT is not a setting; did you mean LISTEN_PORT?");
  file("SOMETHING_ENTIRELY_ELSE = 1\n");
  EXPECT_EQ(error(), "FILE:1: SOMETHING_ENTIRELY_ELSE is not a setting");
}

TEST_F(Load, AnUnknownEnvironmentVariableIsOnlyAWarning) {
  sources_.environment = {{"MILLRACE_POOL_SIZ", "3"}, {"POOL_SIZ", "3"}, {"MILLRACE_PORT_6432_TCP_ADDR", "10.0.0.1"}};
  const auto loaded = load(sources_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->warnings, std::vector<std::string>{"environment variable MILLRACE_POOL_SIZ: POOL_SIZ is not a "
                                                       "setting; did you mean POOL_SIZE?"});
}

TEST_F(Load, BadValuesSayFileLineAndReason) {
  file("LISTEN_PORT = 70000");
  EXPECT_EQ(error(), "FILE:1: LISTEN_PORT: 70000 is out of range (0 to 65535)");
  file("LISTEN_PORT = \"6432\"");
  EXPECT_EQ(error(), "FILE:1: LISTEN_PORT: expected a whole number (0 to 65535), found \"6432\"");
  file("LISTEN_PORT = 64.5");
  EXPECT_EQ(error(), "FILE:1: LISTEN_PORT: expected a whole number (0 to 65535), found 64.5");
  file("POOL_SIZE = 0");
  EXPECT_EQ(error(), "FILE:1: POOL_SIZE: 0 is out of range (1 to 10000)");
  file("POOL_SIZE = -1");
  EXPECT_EQ(error(), "FILE:1: POOL_SIZE: -1 is out of range (1 to 10000)");
  file("LOG_CONNECTIONS = \"yes\"");
  EXPECT_EQ(error(), "FILE:1: LOG_CONNECTIONS: expected true or false, found \"yes\"");
  file("POOL_MODE = \"statement\"");
  EXPECT_EQ(error(), "FILE:1: POOL_MODE: expected one of session, transaction, found \"statement\"");
  file("LISTEN_HOST = \"db.example.com\"");
  EXPECT_EQ(error(), "FILE:1: LISTEN_HOST: expected an IP address or localhost, found \"db.example.com\"");
  file("QUERY_SIMILARITY_THRESHOLD = nan");
  EXPECT_EQ(error(), "FILE:1: QUERY_SIMILARITY_THRESHOLD: nan is out of range (0 to 1)");
  file("DUCKDB_MEMORY_LIMIT = \"2 lots\"");
  EXPECT_EQ(error(), "FILE:1: DUCKDB_MEMORY_LIMIT: expected a size such as 512MB or 2GB, found \"2 lots\"");
  file("POOL_SIZE = [1]");
  EXPECT_EQ(error(), "FILE:1: POOL_SIZE: expected a whole number (1 to 10000), found a list");
  file("[POOL_SIZE]\nx = 1");
  EXPECT_EQ(error(), "FILE:1: POOL_SIZE: expected a whole number (1 to 10000), found a table");
  file("POOL_SIZE = 1\npool_size = 2\n");
  EXPECT_EQ(error(), "FILE:2: POOL_SIZE was given already (" + path_.string() + ":1)");
}

TEST_F(Load, TheFirstErrorInTheFileIsReported) {
  file("POOL_SIZE = 0\nAUTH_TYPE = 1\n");
  EXPECT_EQ(error(), "FILE:1: POOL_SIZE: 0 is out of range (1 to 10000)");
}

TEST_F(Load, InvalidTomlSaysFileAndLine) {
  file("POOL_SIZE = 1\nLISTEN_PORT = = 2\n");
  EXPECT_TRUE(error().starts_with("FILE:2: not valid TOML: ")) << error();
  file("LISTEN_HOST = \"127.0.0.1\n");
  EXPECT_TRUE(error().starts_with("FILE:1: not valid TOML: ")) << error();
  sources_.file = directory_;
  path_ = directory_;
  EXPECT_EQ(error(), "FILE: cannot read the configuration file: Is a directory");
}

TEST_F(Load, BadValuesOfEnvironmentAndFlagsSayWhichOne) {
  sources_.environment = {{"POOL_SIZE", "many"}};
  EXPECT_EQ(error(), "environment variable POOL_SIZE: POOL_SIZE: expected a whole number (1 to 10000), found \"many\"");
  sources_.environment = {{"POOL_SIZE", ""}};
  EXPECT_EQ(error(), "environment variable POOL_SIZE: POOL_SIZE: expected a whole number (1 to 10000), found nothing");
  sources_.environment = {};
  sources_.flags = {{"POOL_SIZE", "99999999999999999999"}};
  EXPECT_EQ(error(), "--pool-size: POOL_SIZE: expected a whole number (1 to 10000), found \"99999999999999999999\"");
}

TEST_F(Load, TextSourcesTakeWordsInAnyCase) {
  sources_.environment = {{"LOG_LEVEL", "INFO"}, {"LOG_CONNECTIONS", "False"}, {"AUTH_QUERY", ""}};
  sources_.flags = {{"AUTH_FILE", "/etc/millrace/users.txt"}};
  const Settings loaded = settings();
  EXPECT_EQ(loaded.log_level, log::Level::info);
  EXPECT_FALSE(loaded.log_connections);
  EXPECT_EQ(loaded.auth_query, "");
}

TEST_F(Load, AlertThresholdsAreATableInTheFile) {
  file("POOL_SIZE = 3\n[PERFORMANCE_ALERT_THRESHOLDS]\nslow_query_percentage = 7.5\nCPU_USAGE_PERCENTAGE = 60\n");
  const AlertThresholds thresholds = settings().performance_alert_thresholds;
  EXPECT_EQ(thresholds.slow_query_percentage, 7.5);
  EXPECT_EQ(thresholds.cpu_usage_percentage, 60);
  EXPECT_EQ(thresholds.queue_depth_threshold, 50);

  file("[PERFORMANCE_ALERT_THRESHOLDS]\n\nerror_rate_percentage = 101\n");
  EXPECT_EQ(error(), "FILE:3: PERFORMANCE_ALERT_THRESHOLDS: error_rate_percentage: 101 is out of range (0 to 100)");
  file("performance_alert_thresholds = { nonsense = 1 }");
  EXPECT_TRUE(error().starts_with("FILE:1: PERFORMANCE_ALERT_THRESHOLDS: \"nonsense\" is not one of its keys"));
  file("PERFORMANCE_ALERT_THRESHOLDS = 5");
  EXPECT_EQ(error(), "FILE:1: PERFORMANCE_ALERT_THRESHOLDS: expected a table, found 5");
}

TEST_F(Load, AlertThresholdsAreJsonInTheEnvironment) {
  sources_.environment = {{"PERFORMANCE_ALERT_THRESHOLDS", R"({"cache_hit_rate_minimum": 12.5})"}};
  EXPECT_EQ(settings().performance_alert_thresholds.cache_hit_rate_minimum, 12.5);
  for (const char* bad : {"", "5", "{", R"({"cache_hit_rate_minimum": "x"})", R"({"cache_hit_rate_minimum": -1})"}) {
    sources_.environment["PERFORMANCE_ALERT_THRESHOLDS"] = bad;
    EXPECT_TRUE(error().starts_with("environment variable PERFORMANCE_ALERT_THRESHOLDS: ")) << bad;
  }
}

TEST_F(Load, APasswordIsNeverPartOfAnError) {
  for (const char* bad : {"mysql://u:secret@h/d", "postgresql://u:secret@h:99999/d", "postgresql://u:secr%et@h/d",
                          "postgresql://u:secret@h/d?sslmode=allow", "postgresql://u:secret@h/d?nonsense=1",
                          "postgresql://u:secret#x@h/d", "secret"}) {
    sources_.environment = {{"DATABASE_URL", bad}};
    EXPECT_TRUE(error().starts_with("environment variable DATABASE_URL: DATABASE_URL: ")) << error();
    EXPECT_EQ(error().find("secr"), std::string::npos) << error();
  }
}

TEST_F(Load, TheUrlSpeaksLastAboutTls) {
  sources_.environment = {{"DATABASE_URL", "postgresql://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem"},
                          {"SERVER_TLS_MODE", "disable"}};
  EXPECT_EQ(settings().server_tls_mode, ServerTlsMode::verify_full);
  EXPECT_EQ(settings().server_tls_ca_file, "/ca.pem");
}

TEST_F(Load, SettingsThatContradictEachOther) {
  file("\nTLS_CERT_FILE = \"/cert.pem\"\n");
  EXPECT_EQ(error(), "FILE:2: TLS_CERT_FILE: a certificate needs its key: set TLS_KEY_FILE too");
  file("\nCLIENT_TLS_MODE = \"require\"\n");
  EXPECT_EQ(error(), "FILE:2: CLIENT_TLS_MODE: \"require\" needs TLS_CERT_FILE and TLS_KEY_FILE");
  file("AUTH_QUERY = \"\"\n");
  EXPECT_EQ(error(), "FILE:1: AUTH_QUERY: without AUTH_FILE and AUTH_QUERY nobody could log in");
  file("AUTH_QUERY = \"\"\nAUTH_TYPE = \"trust\"\n");
  EXPECT_EQ(error(), "no error");
  file("LISTEN_PORT = 8642\n");
  EXPECT_EQ(error(), "HTTP_PORT: 8642 is LISTEN_PORT already");
}

TEST_F(Load, WarnsOfTrustOnAnAddressThatOthersReach) {
  sources_.environment = {{"AUTH_TYPE", "trust"}};
  EXPECT_EQ(load(sources_)->warnings.size(), 0u);
  sources_.environment["LISTEN_HOST"] = "0.0.0.0";
  ASSERT_EQ(load(sources_)->warnings.size(), 1u);
  EXPECT_EQ(load(sources_)->warnings[0], "AUTH_TYPE is trust, so whoever can reach 0.0.0.0 logs in without a password");
}

TEST_F(Load, WarnsOfAPasswordInAFileThatAllCanRead) {
  using std::filesystem::perms;
  file("DATABASE_URL = \"postgresql://u:secret@h/d\"\n");
  std::filesystem::permissions(path_, perms::owner_read | perms::others_read);
  ASSERT_EQ(load(sources_)->warnings.size(), 1u);
  std::filesystem::permissions(path_, perms::owner_read | perms::group_read);
  EXPECT_EQ(load(sources_)->warnings.size(), 0u);
}

TEST(Print, HidesWhatMayHoldASecret) {
  Settings settings;
  const auto printed = [&] {
    const auto found = std::ranges::find(settings_table(), "ALERT_WEBHOOK_URL", &Setting::name);
    return print(*found, settings);
  };
  EXPECT_EQ(printed(), "");
  settings.alert_webhook_url = "https://hooks.example.org/T0/secret";
  EXPECT_EQ(printed(), "***");
}

TEST(Reload, KeepsWhatNeedsARestart) {
  Settings before;
  Settings after;
  after.listen_port = 1;
  after.pool_size = 2;
  EXPECT_EQ(changed(before, after), (std::vector<std::string_view>{"LISTEN_PORT", "POOL_SIZE"}));
  const Settings running = reloadable(before, after);
  EXPECT_EQ(running.listen_port, before.listen_port);
  EXPECT_EQ(running.pool_size, 2);
}

/// As with PostgreSQL.
TEST(Defaults, EndNoStatement) {
  EXPECT_EQ(Settings().query_timeout_seconds, std::chrono::seconds::zero());
  EXPECT_EQ(Settings().memory_limit_per_query_mb, 0);
  EXPECT_EQ(Settings().default_user_memory_limit_mb, 0);
}

TEST(Table, NamesAreFoundInEitherCase) {
  EXPECT_EQ(find_setting("listen_port"), find_setting("LISTEN_PORT"));
  EXPECT_NE(find_setting("LISTEN_PORT"), nullptr);
  EXPECT_EQ(find_setting("LISTEN"), nullptr);
  EXPECT_EQ(flag_name("LISTEN_PORT"), "--listen-port");
}

}  // namespace
}  // namespace millrace::config
