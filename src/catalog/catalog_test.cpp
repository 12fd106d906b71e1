#include "catalog/catalog.hpp"

#include <gtest/gtest.h>

#include <boost/asio/thread_pool.hpp>

#include "base/clock.hpp"

using namespace millrace;
using namespace millrace::catalog;
using std::chrono::milliseconds;

namespace {

namespace asio = boost::asio;

/// A server whose catalogs are one table's name.
struct Server {
  explicit Server(asio::io_context& context) : io(context) {}

  asio::io_context& io;
  std::string table = "first", configured = "noon", lock;
  bool reachable = true;
  milliseconds slow{0};        ///< from when a reading is made to when its answer comes
  milliseconds slow_polls{0};  ///< the same
  int readings = 0, polls = 0, views = 0;
  int has_views = 0;
  std::string written;  ///< since whatever is known
  int others = 0;       ///< transactions that have changed nothing

  std::vector<Row> rows(bool reading, std::string_view known) const {
    const std::string moment = "1:1:" + std::to_string(std::hash<std::string>{}(table) % 100'000 + 100'000 * others);
    std::vector<Row> all{{"fingerprint", moment, configured, table, written}};
    if (known == moment) all[0][3] = all[0][4] = std::nullopt;
    if (reading)
      all.push_back({"relation", "20000", "public", table, "r", "p", "f", "d", "f", "f", "{1}", "{a}", "{23}", "{t}"});
    for (int i = 0; reading && i < has_views; ++i) {
      all.push_back({"relation",
                     std::to_string(30000 + i),
                     "public",
                     "v" + std::to_string(i),
                     "v",
                     "p",
                     "f",
                     "d",
                     "f",
                     "f",
                     {},
                     {},
                     {},
                     {}});
    }
    return all;
  }
};

std::string known_moment(const std::string& sql) {
  const auto at = sql.find("now.moment = '");
  const auto from = at + std::string_view("now.moment = '").size();
  return at == sql.npos ? "" : sql.substr(from, sql.find('\'', from) - from);
}

asio::awaitable<Result<std::vector<Row>>> ask(Server* server, std::string sql) {
  const bool reading = sql.contains("'relation'");
  if (sql.contains("pg_get_viewdef")) {
    ++server->views;
    if (!server->lock.empty()) co_return fail("locked", server->lock);
    co_return std::vector<Row>{};
  }
  ++(reading ? server->readings : server->polls);
  if (!server->reachable) co_return fail("gone", "08006");
  auto rows = server->rows(reading, known_moment(sql));
  if (const auto time = reading ? server->slow : server->slow_polls; time > milliseconds::zero()) {
    asio::steady_timer timer(server->io, time);
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_return rows;
}

struct CatalogTest : testing::Test {
  asio::io_context io;
  asio::thread_pool workers{1};
  Server server{io};
  int changed = 0;
  std::vector<Oid> written;
  std::shared_ptr<Catalog> catalog;

  void start(Pace pace = {}) {
    catalog = Catalog::start(
        io, workers.get_executor(),
        [this](std::string sql, const std::vector<std::string>&) { return ask(&server, std::move(sql)); },
        [this] { ++changed; },
        [this](std::span<const Oid> relations, const Snapshot&) {
          written.insert(written.end(), relations.begin(), relations.end());
        },
        "db", pace);
  }
  static Pace quick() {
    return {.poll = milliseconds(20),
            .settle = milliseconds(1),
            .first_retry = milliseconds(5),
            .last_retry = milliseconds(5),
            .rest = 0,
            .expires = 50};
  }

  std::string table() const {
    const auto snapshot = catalog->current();
    return snapshot != nullptr && snapshot->find(20000) != nullptr ? snapshot->find(20000)->name : "";
  }
  template <typename Check>
  bool eventually(Check check) {
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    while (!check() && Clock::now() < deadline) io.run_one_for(milliseconds(20));
    return check();
  }
  void run(int ms) { io.run_for(milliseconds(ms)); }

  ~CatalogTest() override {
    if (catalog) catalog->stop();
    run(50);
    workers.join();
  }
};

TEST_F(CatalogTest, ReadsAtOnceAndPolls) {
  start(quick());
  EXPECT_EQ(catalog->current(), nullptr);
  EXPECT_TRUE(eventually([&] { return table() == "first"; }));
  EXPECT_TRUE(eventually([&] { return server.polls > 5; }));
  EXPECT_EQ(server.readings, 1);
  EXPECT_EQ(changed, 0);
  EXPECT_GT(catalog->current()->version, 0);
}

TEST_F(CatalogTest, NoticesAChange) {
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  const auto changes = catalog->changes();
  const auto version = catalog->current()->version;
  server.table = "second";
  EXPECT_TRUE(eventually([&] { return table() == "second"; }));
  EXPECT_GE(changed, 1);
  EXPECT_GT(catalog->changes(), changes);
  EXPECT_GT(catalog->current()->version, version);
}

TEST_F(CatalogTest, TellsOnceWhatWasWritten) {
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  const auto other_transaction = [&](const std::string& shows) {
    server.written = shows;
    ++server.others;
    const int polls = server.polls;
    EXPECT_TRUE(eventually([&] { return server.polls > polls + 1; }));
  };
  other_transaction("20000:7");
  EXPECT_EQ(written, (std::vector<Oid>{20000}));
  other_transaction("20001:8 20000:7");  // an older one runs on
  EXPECT_EQ(written, (std::vector<Oid>{20000, 20001}));
  run(50);  // nothing has happened
  other_transaction("20000:9 20001:8");
  EXPECT_EQ(written, (std::vector<Oid>{20000, 20001, 20000}));
  other_transaction("");
  other_transaction("20000:9");
  EXPECT_EQ(written, (std::vector<Oid>{20000, 20001, 20000, 20000}));
  EXPECT_EQ(changed, 0);
  EXPECT_EQ(server.readings, 1);
}

TEST_F(CatalogTest, WhatIsWrittenWhileViewsAreReadAgainIsTold) {
  server.has_views = 1;
  server.lock = "55P03";
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  const int readings = server.readings;
  server.slow = milliseconds(30);
  ASSERT_TRUE(eventually([&] { return server.readings > readings; }));  // which has been asked, and not answered
  server.written = "20000:7";
  ++server.others;
  ASSERT_TRUE(eventually([&] { return !written.empty(); }));
  EXPECT_EQ(written.front(), 20000U);
  EXPECT_EQ(changed, 0);
}

TEST_F(CatalogTest, NoticesThatTheConfigurationWasLoadedOnceForEachTime) {
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  server.configured = "one";
  EXPECT_TRUE(eventually([&] { return changed == 1 && table() == "first"; }));
  // Another connection's, from before.
  server.configured = "noon";
  const int polls = server.polls;
  EXPECT_TRUE(eventually([&] { return server.polls > polls + 3; }));
  EXPECT_EQ(changed, 1);
  EXPECT_EQ(server.readings, 2);
}

TEST_F(CatalogTest, DdlMakesWhatIsKnownOutOfDateAtOnce) {
  auto pace = quick();
  pace.poll = std::chrono::hours(1);
  start(pace);
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  server.table = "second";
  catalog->ddl_passed();
  EXPECT_EQ(catalog->current(), nullptr);
  EXPECT_EQ(changed, 1);
  EXPECT_TRUE(eventually([&] { return catalog->current() != nullptr; }));
  EXPECT_EQ(table(), "second");
}

TEST_F(CatalogTest, WhatWasReadBeforeDdlNeverBecomesCurrent) {
  auto pace = quick();
  pace.poll = std::chrono::hours(1);
  server.slow = milliseconds(60);
  start(pace);
  ASSERT_TRUE(eventually([&] { return server.readings == 1; }));
  run(10);
  server.table = "second";
  catalog->ddl_passed();
  std::vector<std::string> seen;
  EXPECT_TRUE(eventually([&] {
    if (catalog->current() != nullptr) seen.push_back(table());
    return !seen.empty();
  }));
  EXPECT_EQ(seen.front(), "second");
}

TEST_F(CatalogTest, AReadingThatDdlHasPassedIsDoneAgain) {
  // Also where nobody sees yet what it has done.
  for (const bool checking : {false, true}) {
    auto pace = quick();
    pace.poll = std::chrono::hours(1);
    server.slow = server.slow_polls = milliseconds(40);
    server.readings = server.polls = 0;
    start(pace);
    ASSERT_TRUE(eventually([&] { return (checking ? server.polls : server.readings) == 1; }));
    ASSERT_EQ(catalog->current(), nullptr);
    catalog->ddl_passed();
    EXPECT_TRUE(eventually([&] { return catalog->current() != nullptr; }));
    EXPECT_EQ(server.readings, 2);
    catalog->stop();
    run(60);
    io.restart();
  }
}

TEST_F(CatalogTest, NothingIsKnownWhileItIsHeld) {
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  auto held = catalog->hold();
  auto other = catalog->hold();
  const int readings = server.readings;
  run(100);
  EXPECT_EQ(catalog->current(), nullptr);
  held.reset();
  run(100);
  EXPECT_EQ(catalog->current(), nullptr);
  EXPECT_EQ(server.readings, readings);
  server.table = "second";
  const int before = changed;
  other.reset();
  EXPECT_GT(changed, before);
  EXPECT_TRUE(eventually([&] { return table() == "second"; }));
}

TEST_F(CatalogTest, NothingIsKnownOfAServerThatCannotBeReached) {
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  server.reachable = false;
  EXPECT_TRUE(eventually([&] { return catalog->current() == nullptr; }));
  run(50);
  EXPECT_EQ(catalog->current(), nullptr);
  server.reachable = true;
  EXPECT_TRUE(eventually([&] { return table() == "first"; }));
  EXPECT_EQ(changed, 0);
  EXPECT_EQ(server.readings, 1);
}

TEST_F(CatalogTest, NothingIsKnownOfAServerThatDoesNotAnswer) {
  auto pace = quick();
  pace.expires = 3;
  start(pace);
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  server.slow_polls = milliseconds(500);
  EXPECT_TRUE(eventually([&] { return catalog->current() == nullptr; }));
  server.slow_polls = milliseconds(0);
  EXPECT_TRUE(eventually([&] { return table() == "first"; }));
  EXPECT_EQ(server.readings, 1);
  EXPECT_EQ(changed, 0);
}

TEST_F(CatalogTest, WithoutLockedViewsTheRestIsKnown) {
  server.lock = "55P03";
  server.has_views = 250;
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  EXPECT_EQ(server.views, 3);
  const auto before = catalog->current()->version;
  server.lock.clear();
  EXPECT_TRUE(eventually([&] { return catalog->current() != nullptr && catalog->current()->version > before; }));
  const int readings = server.readings;
  run(100);
  EXPECT_EQ(server.readings, readings);
  EXPECT_EQ(changed, 0);
}

TEST_F(CatalogTest, OtherErrorsAreNotTakenForLocks) {
  server.lock = "XX000";
  server.has_views = 1;
  start(quick());
  run(100);
  EXPECT_EQ(catalog->current(), nullptr);
  EXPECT_GT(server.readings, 2);
}

TEST_F(CatalogTest, StopsAndForgets) {
  start(quick());
  ASSERT_TRUE(eventually([&] { return table() == "first"; }));
  catalog->stop();
  EXPECT_EQ(catalog->current(), nullptr);
  run(50);
  const int polls = server.polls;
  io.restart();
  run(100);
  EXPECT_EQ(server.polls, polls);
  catalog->ddl_passed();
  EXPECT_EQ(changed, 0);
}

TEST_F(CatalogTest, ManyThreadsMayTellAndAsk) {
  start(quick());
  std::atomic<bool> end = false;
  std::vector<std::thread> threads;
  // `changed` counts on this thread only.
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      std::uint64_t last = 0;
      while (!end) {
        const auto snapshot = catalog->current();
        if (snapshot == nullptr) continue;
        EXPECT_GE(snapshot->version, last);
        last = snapshot->version;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(eventually([&] { return catalog->current() != nullptr; }));
    catalog->ddl_passed();
  }
  EXPECT_EQ(changed, 20);
  end = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
