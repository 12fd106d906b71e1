#include "integration/prober.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <set>

#include "base/clock.hpp"

namespace millrace::integration {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

/// A server whose log ends at `end` and of whose transactions all before `next_xid` are over.
struct Server {
  asio::io_context io;
  Lsn end = 0x100;
  std::uint64_t next_xid = 10;
  Lsn on_disk = 0;  ///< 0: all is
  std::set<std::uint64_t> rolled_back = {};
  int looks = 0;
  bool can_be_looked_at = true;
  std::string name = "this one";
};

asio::awaitable<Prober::Rows> answer(Server* server, std::string sql) {
  if (sql.starts_with("SELECT xid")) {
    std::vector<backend::ServerConnection::Row> rows;
    for (const auto xid : server->rolled_back) {
      if (sql.contains(std::to_string(xid))) rows.push_back({std::to_string(xid)});
    }
    co_return rows;
  }
  if (!sql.starts_with("SELECT pg_catalog.pg_current_wal_insert_lsn()")) co_return fail("another question");
  if (!sql.ends_with(fmt::format(" WHERE {} = '{}'", Prober::server_sql, server->name))) co_return Prober::Rows();
  const auto end = fmt::format("0/{:X}", server->end);
  const auto on_disk = server->on_disk == 0 ? end : fmt::format("0/{:X}", server->on_disk);
  co_return std::vector<backend::ServerConnection::Row>{{end, on_disk, fmt::format("{0}:{0}:", server->next_xid)}};
}

asio::awaitable<bool> look(Server* server) {
  ++server->looks;
  co_return server->can_be_looked_at;
}

class ProberTest : public testing::Test {
 protected:
  ProberTest() {
    freshness_->follow(std::make_shared<const Freshness::Tables>());
    prober_ = Prober::start(server_.io, "this one",
                            {.query = [this](std::string sql) { return answer(&server_, std::move(sql)); },
                             .confirm = [this] { return look(&server_); },
                             .on_another = [this] { ++others_; }},
                            freshness_);
  }
  ~ProberTest() override {
    prober_->stop();
    server_.io.run_for(milliseconds(20));
  }

  /// Whether they are proved within 300 ms. The stream has told all there is.
  bool prove(Moments moments) {
    const auto is_released = std::make_shared<bool>(false);
    if (!freshness_->want(moments, [is_released] { *is_released = true; })) return false;
    const auto until = now_ns() + 300'000'000;
    while (!*is_released && now_ns() < until) {
      server_.io.run_for(milliseconds(1));
      prober_->told(server_.on_disk == 0 ? server_.end : server_.on_disk);
    }
    return freshness_->proved_until() >= moments.rows && freshness_->certain_until() >= moments.catalogs;
  }
  bool prove_rows() { return prove({.rows = now_ns()}); }
  bool prove_all() {
    const auto now = now_ns();
    return prove({.rows = now, .catalogs = now});
  }

  Server server_;
  int others_ = 0;  ///< times that another server was noticed
  std::shared_ptr<Freshness> freshness_ = std::make_shared<Freshness>();
  std::shared_ptr<Prober> prober_;
};

TEST_F(ProberTest, RowsAreProvedWithoutALookAtTheCatalogs) {
  ASSERT_TRUE(prove_all());
  const int looks = server_.looks;
  for (int i = 0; i < 3; ++i) {
    ++server_.next_xid;  // which isn't told
    EXPECT_TRUE(prove_rows());
    EXPECT_EQ(server_.looks, looks);
  }
  EXPECT_LT(freshness_->certain_until(), freshness_->proved_until());
  EXPECT_TRUE(prove_all());
  EXPECT_EQ(server_.looks, looks + 1) << "one, and of a moment that helps";
}

TEST_F(ProberTest, WhatAnotherServerSaysOfItsLogProvesNothing) {
  ASSERT_TRUE(prove_all());
  EXPECT_EQ(others_, 0);
  server_.name = "its standby, which is the primary now";
  EXPECT_FALSE(prove_rows());
  EXPECT_GT(others_, 0);
}

TEST_F(ProberTest, NoLookIsNeededWhereAllThatIsOverIsTold) {
  ASSERT_TRUE(prove_all());
  const int looks = server_.looks;
  prober_->committed(static_cast<Xid>(server_.next_xid++), server_.end, server_.end + 48);
  server_.end += 48;
  EXPECT_TRUE(prove_all());
  EXPECT_EQ(server_.looks, looks);
}

TEST_F(ProberTest, NoLookAndNoDiskIsNeededForWhatWasRolledBack) {
  ASSERT_TRUE(prove_all());
  const int looks = server_.looks;
  server_.rolled_back.insert(server_.next_xid++);
  EXPECT_TRUE(prove_all());
  EXPECT_EQ(server_.looks, looks);
  server_.on_disk = server_.end;
  server_.end += 40;  // its record, which nobody writes to disk
  server_.rolled_back.insert(server_.next_xid++);
  EXPECT_TRUE(prove_all());
  EXPECT_EQ(server_.looks, looks);
  ++server_.next_xid;  // which has committed without waiting for the disk
  EXPECT_FALSE(prove_rows());
}

TEST_F(ProberTest, TheCatalogsAreLookedAtNowAndThenWhereNobodyNeedsThem) {
  ASSERT_TRUE(prove_all());
  ++server_.next_xid;
  ASSERT_TRUE(prove_rows());
  const auto proved = freshness_->proved_until();
  server_.io.run_for(milliseconds(1200));
  EXPECT_GE(freshness_->certain_until(), proved);
}

TEST_F(ProberTest, WhereALookFailedTheNextOneIsOfALaterMoment) {
  ASSERT_TRUE(prove_all());
  ++server_.next_xid;
  server_.can_be_looked_at = false;
  EXPECT_FALSE(prove_all());
  server_.can_be_looked_at = true;
  const auto proved = freshness_->proved_until();
  ASSERT_GT(proved, freshness_->certain_until());
  server_.io.run_for(milliseconds(250));
  EXPECT_TRUE(prove({.rows = proved, .catalogs = proved})) << "which nobody would ask for, for the rows alone";
}

}  // namespace
}  // namespace millrace::integration
