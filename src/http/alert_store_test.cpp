#include "http/alert_store.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>

#include "http/alert_body.hpp"

namespace millrace::http {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() { fs::create_directories(path_); }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path() const { return path_.string(); }
  fs::path file() const { return path_ / "alerts.json"; }
  std::string text_of(const std::string& name) const {
    std::ifstream file(path_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  fs::path path_ = fs::temp_directory_path() / fmt::format("alert_store_test.{}", getpid());
};

Alert an_alert() {
  return {.alert_id = "a",
          .rule_id = "r",
          .threshold = {.metric_type = PerformanceMetricType::error_rate,
                        .threshold_value = 5,
                        .severity = AlertSeverity::high,
                        .notification_channels = {"email", "ops"}},
          .triggered_at = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'750'000'000'123)),
          .current_value = 7.5,
          .description = "error rate is \"7.5\" %",
          .suggested_actions = {"look", "mend"}};
}

TEST(AlertStore, KeepsWhatItWasGiven) {
  const Folder folder;
  AlertStore store(folder.path());
  EXPECT_TRUE(store.load().rules.empty()) << "there is no file yet";
  Alert resolved = an_alert();
  resolved.resolved = true;
  resolved.resolved_at = resolved.triggered_at + std::chrono::minutes(3);
  resolved.acknowledged_by = "ada";
  const StoredAlerts given{.rules = {{.rule_id = "r", .threshold = an_alert().threshold}},
                           .alerts = {an_alert(), resolved}};
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(store.save(given));
  const StoredAlerts got = store.load();
  ASSERT_EQ(got.rules.size(), 1);
  EXPECT_EQ(got.rules[0].threshold, given.rules[0].threshold);
  ASSERT_EQ(got.alerts.size(), 2);
  EXPECT_EQ(got.alerts[0].triggered_at, given.alerts[0].triggered_at);
  EXPECT_EQ(got.alerts[0].description, given.alerts[0].description);
  EXPECT_FALSE(got.alerts[0].resolved_at);
  EXPECT_EQ(got.alerts[1].resolved_at, resolved.resolved_at);
  EXPECT_EQ(got.alerts[1].acknowledged_by, "ada");
  EXPECT_EQ(fs::status(folder.file()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST(AlertStore, SetsAsideWhatItCanNotRead) {
  const Folder folder;
  AlertStore store(folder.path());
  std::string number;
  for (const char* text : {"", "{", "[]", R"({"version": 2, "rules": [], "alerts": []})", R"({"version": 1})"}) {
    std::ofstream(folder.file()) << text;
    EXPECT_TRUE(store.load().alerts.empty());
    EXPECT_FALSE(fs::exists(folder.file())) << text;
    EXPECT_EQ(folder.text_of("alerts.json.unreadable" + number), text);
    number = number.empty() ? ".1" : fmt::format(".{}", number.back() - '0' + 1);
  }
}

TEST(AlertStore, SetsAsideWhatItCanNotOpen) {
  const Folder folder;
  AlertStore store(folder.path());
  fs::create_symlink(folder.file(), folder.file());
  EXPECT_TRUE(store.load().rules.empty());
  EXPECT_TRUE(fs::is_symlink(folder.path() + "/alerts.json.unreadable"));
  EXPECT_TRUE(store.save({}));
  EXPECT_TRUE(fs::is_regular_file(folder.file()));
}

TEST(AlertStore, DoesNotOverwriteWhatItCanNotSetAside) {
  const Folder folder;
  AlertStore store(folder.path());
  std::ofstream(folder.file()) << "{";
  for (int i = 0; i < 100; ++i)
    std::ofstream(folder.path() + "/alerts.json.unreadable" + (i == 0 ? "" : fmt::format(".{}", i))) << i;
  EXPECT_TRUE(store.load().rules.empty());
  EXPECT_FALSE(store.save({}));
  EXPECT_EQ(folder.text_of("alerts.json"), "{");
  EXPECT_EQ(folder.text_of("alerts.json.unreadable.99"), "99");
}

TEST(AlertStore, LeavesAloneWhatItCanNotOpenAtPresent) {
  const Folder folder;
  AlertStore store(folder.path());
  const std::string text = R"({"version": 1, "rules": [], "alerts": []})";
  std::ofstream(folder.file()) << text;
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_TRUE(store.load().rules.empty());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_FALSE(store.save({}));
  EXPECT_EQ(folder.text_of("alerts.json"), text);
}

TEST(AlertStore, SaysThatItCouldNot) {
  AlertStore nowhere("/nosuch/folder");
  EXPECT_FALSE(nowhere.save({}));
  EXPECT_TRUE(nowhere.load().rules.empty());
  EXPECT_TRUE(AlertStore("").save({})) << "without a folder there is nothing to do";
}

TEST(AlertBody, IsAlertmanagersFour) {
  const auto firing = boost::json::parse(alert_body(an_alert(), "http://h:1"));
  EXPECT_EQ(firing.at("version"), "4");
  EXPECT_EQ(firing.at("status"), "firing");
  EXPECT_EQ(firing.at("commonLabels").at("alertname"), "MillraceErrorRate");
  EXPECT_EQ(firing.at("externalURL"), "http://h:1");
  EXPECT_EQ(firing.at("truncatedAlerts"), 0);
  ASSERT_EQ(firing.at("alerts").as_array().size(), 1);
  const auto& one = firing.at("alerts").at(0);
  EXPECT_EQ(one.at("labels").at("severity"), "high");
  EXPECT_EQ(one.at("labels").at("channels"), "email,ops");
  EXPECT_EQ(one.at("annotations").at("summary"), "error rate is \"7.5\" %");
  EXPECT_EQ(one.at("annotations").at("description"), "look; mend");
  EXPECT_EQ(one.at("startsAt"), "2025-06-15T15:06:40.123000+00:00");
  EXPECT_EQ(one.at("endsAt"), "0001-01-01T00:00:00Z");
  Alert ended = an_alert();
  ended.resolved = true;
  ended.resolved_at = ended.triggered_at + std::chrono::seconds(60);
  ended.current_value = 0;
  const auto resolved = boost::json::parse(alert_body(ended, "http://h:1"));
  EXPECT_EQ(resolved.at("status"), "resolved");
  EXPECT_EQ(resolved.at("alerts").at(0).at("endsAt"), "2025-06-15T15:07:40.123000+00:00");
  EXPECT_EQ(resolved.at("alerts").at(0).at("fingerprint"), one.at("fingerprint")) << "the same alert";
  EXPECT_EQ(resolved.at("groupKey"), firing.at("groupKey"));
}

}  // namespace
}  // namespace millrace::http
