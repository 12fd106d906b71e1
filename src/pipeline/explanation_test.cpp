#include "pipeline/explanation.hpp"

#include <gtest/gtest.h>

#include "pipeline/cacheability_test.hpp"
#include "pipeline/pipeline.hpp"

namespace millrace::pipeline {
namespace {

using std::chrono::seconds;

constexpr std::int64_t second = 1'000'000'000;

/// A session that has asked for answers from memory, in the small database, and what may be done for it.
class ExplanationTest : public testing::Test {
 protected:
  ExplanationTest() {
    test::Database database;
    database.builder.set_version(1);
    database.builder.role("ada", {.search_path = "\"$user\", public", .isolation = "read committed"});
    snapshot_ = database.builder.build();
    cache_.use([this](const std::string&, bool) {
      return std::make_shared<const CatalogSource>(
          CatalogSource{[this] { return snapshot_; }, [] { return std::make_shared<const int>(0); }});
    });
    scope_ = cache_.share({.wanted = true, .database = "crawl", .user = "ada"});
  }

  Question query(std::string_view text) { return {.kind = Question::Kind::query, .text = text, .parameters = {}}; }
  Explanation explained(std::string_view text, std::int64_t now = second, std::optional<Refusal> session = {}) {
    return explain(cache_, *scope_, query(text), *sql::parse(text), std::move(session), {}, now);
  }
  void run(std::string_view text, std::int64_t now = second) {
    const auto fill = pipeline_.begin_fill(*scope_, query(text), pipeline_.understand(text),
                                           Consistency{.level = Consistency::Level::eventual}, now);
    ASSERT_TRUE(fill) << text;
    fill->add_head("head");
    fill->add_body("body");
    fill->rows = 3;
    pipeline_.complete(*fill, now);
  }
  std::string first_reason(std::string_view text) {
    const auto said = explained(text);
    EXPECT_EQ(said.decision, CacheUse::bypass) << text;
    return said.refusals.empty() ? "" : said.refusals.front().code;
  }

  std::shared_ptr<const catalog::Snapshot> snapshot_;
  std::shared_ptr<cache::IntelligentCacheManager> manager_ =
      std::make_shared<cache::IntelligentCacheManager>(std::size_t{1} << 20);
  ReadCache cache_{manager_, seconds(300)};
  std::shared_ptr<const Scope> scope_;
  QueryPerformanceMonitor monitor_{1, statement_kind_labels()};
  Pipeline pipeline_{0, monitor_, {}, &cache_};
};

TEST_F(ExplanationTest, OfWhatWouldBeKept) {
  const auto said = explained(
      "SELECT id /* a */ FROM users, logs -- /* millrace: ttl=9 */\n"
      "/* millrace: ttl=60, tags='b,a' */");
  EXPECT_EQ(said.decision, CacheUse::miss);
  EXPECT_TRUE(said.refusals.empty());
  EXPECT_EQ(said.reads, (std::vector<std::string>{"public.users", "public.logs", "public.logs_1"}));
  EXPECT_EQ(said.ttl, seconds(60));
  EXPECT_EQ(said.tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(said.database, "crawl");
  EXPECT_EQ(said.user, "ada");
  EXPECT_EQ(said.settings, "");
  EXPECT_EQ(said.search_path, std::vector<std::string>{"public"});
  EXPECT_EQ(said.text, "SELECT id   FROM users, logs  \n ");
  EXPECT_FALSE(said.kept);
  EXPECT_EQ(explained("SELECT 1").ttl, seconds(300));
  EXPECT_EQ(explained("SELECT 1").reads, std::vector<std::string>{});
}

TEST_F(ExplanationTest, OfWhatIsKept) {
  run("SELECT id FROM users");
  auto said = explained("SELECT id FROM /* another trace */ users", 11 * second);
  EXPECT_EQ(said.decision, CacheUse::miss) << "a comment stands for a space";
  said = explained("SELECT id FROM users", 11 * second);
  EXPECT_EQ(said.decision, CacheUse::hit);
  ASSERT_TRUE(said.kept);
  EXPECT_EQ(said.kept->state, Explanation::Kept::State::fresh);
  EXPECT_EQ(said.kept->age, seconds(10));
  EXPECT_EQ(said.kept->remaining, seconds(290));
  EXPECT_EQ(said.kept->rows, 3);
  EXPECT_GT(said.kept->bytes, 8);
  EXPECT_EQ(said.reads, std::vector<std::string>{"public.users"});
}

TEST_F(ExplanationTest, OfWhatIsThereAndNotFresh) {
  run("SELECT id FROM users");
  auto said = explained("SELECT id FROM users", 1000 * second);
  EXPECT_EQ(said.decision, CacheUse::miss);
  EXPECT_EQ(said.kept->state, Explanation::Kept::State::expired);
  cache_.versions().changed(ReadCache::of_table("crawl", snapshot_->find("public", "users")->oid));
  said = explained("SELECT id FROM users", 2 * second);
  EXPECT_EQ(said.decision, CacheUse::miss);
  EXPECT_EQ(said.kept->state, Explanation::Kept::State::stale);
  EXPECT_EQ(said.kept->remaining.count(), 0);
}

TEST_F(ExplanationTest, LookingCountsNothing) {
  run("SELECT id FROM users");
  const auto before = cache_.l1().counts();
  explained("SELECT id FROM users");
  explained("SELECT name FROM users");
  explained("SELECT now()");
  const auto after = cache_.l1().counts();
  EXPECT_EQ(after.hits, before.hits);
  EXPECT_EQ(after.absent, before.absent);
  EXPECT_EQ(after.entries, before.entries);
  pipeline_.publish_counts();
  EXPECT_TRUE(cache_.refusals().empty());
}

TEST_F(ExplanationTest, SaysWhyNot) {
  EXPECT_EQ(first_reason("SELECT now()"), "stable_function");
  EXPECT_EQ(first_reason("SELECT random()"), "volatile_function");
  EXPECT_EQ(first_reason("DELETE FROM users"), "not_a_select");
  EXPECT_EQ(first_reason("SELECT id FROM users FOR UPDATE"), "for_update");
  EXPECT_EQ(first_reason("SELECT 'now'::timestamptz"), "constant_of_time");
  EXPECT_EQ(first_reason("SELECT * FROM nobody"), "unknown_relation");
  const auto said = explained("SELECT random()");
  EXPECT_EQ(said.refusals, (std::vector<Refusal>{{"volatile_function", "calls random(), which is volatile"}}));
  EXPECT_FALSE(said.reads);
}

TEST_F(ExplanationTest, OfWhatPoolsSay) {
  const auto said = explained("CLOSE ALL; UNLISTEN *; RESET ALL");
  EXPECT_EQ(said.decision, CacheUse::miss);
  EXPECT_EQ(said.reads, std::vector<std::string>{});
  EXPECT_EQ(first_reason("SELECT pg_advisory_unlock_all(); RESET ALL"), "function") << "it isn't in this catalog";
}

/// Each reason that is explained is the one that is counted when it runs.
TEST_F(ExplanationTest, SaysWhatIsCounted) {
  for (const char* text : {"SELECT now()", "DELETE FROM users", "SELECT id FROM users FOR UPDATE", "SELECT 'now'::date",
                           "SELECT nextval('s')", "SELECT currval('s')", "SELECT 1 INTO t", "SELECT 1; SELECT 2",
                           "SELECT set_config('a', 'b', false)", "SELECT * FROM nobody", "SELECT current_date"}) {
    const auto before = cache_.refusals();
    EXPECT_FALSE(pipeline_.begin_fill(*scope_, query(text), pipeline_.understand(text),
                                      Consistency{.level = Consistency::Level::eventual}, second))
        << text;
    pipeline_.publish_counts();
    const auto counted = cache_.refusals();
    const auto code = first_reason(text);
    const auto count = [&](const auto& counts) { return counts.contains(code) ? counts.at(code) : 0; };
    EXPECT_EQ(count(counted), count(before) + 1) << text << ": " << code;
  }
}

TEST_F(ExplanationTest, OfASessionThatIsInTheWay) {
  run("SELECT id FROM users");
  const Refusal pinned{"pinned", "the session keeps its server connection: listen"};
  auto said = explained("SELECT id FROM users", second, pinned);
  EXPECT_EQ(said.decision, CacheUse::bypass);
  EXPECT_EQ(said.refusals, std::vector<Refusal>{pinned});
  EXPECT_EQ(said.reads, std::vector<std::string>{"public.users"});
  said = explained("SELECT now()", second, pinned);
  ASSERT_EQ(said.refusals.size(), 2);
  EXPECT_EQ(said.refusals.back().code, "stable_function");
}

TEST_F(ExplanationTest, WhileTheCatalogsAreNotKnown) {
  run("SELECT id FROM users");
  snapshot_.reset();
  EXPECT_EQ(first_reason("SELECT name FROM users"), "catalog_unknown");
  EXPECT_EQ(first_reason("DELETE FROM users"), "not_a_select");
  EXPECT_EQ(explained("SELECT id FROM users").decision, CacheUse::hit);
}

TEST_F(ExplanationTest, SettingsAreReadable) {
  scope_ = cache_.share({.wanted = true,
                         .database = "crawl",
                         .user = "ada",
                         .settings = std::string("timezone\0Asia/Tokyo\0datestyle\0SET datestyle = 'German'\0", 55)});
  EXPECT_EQ(explained("SELECT 1").settings, "timezone=Asia/Tokyo; SET datestyle = 'German'");
}

TEST_F(ExplanationTest, WithoutACache) {
  const auto said = explain_without_cache("crawl", "ada", "SELECT 1", *sql::parse("SELECT 1"));
  EXPECT_EQ(said.decision, CacheUse::bypass);
  EXPECT_EQ(said.refusals.front().code, "no_cache");
}

}  // namespace
}  // namespace millrace::pipeline
