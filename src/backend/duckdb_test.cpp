#include "backend/duckdb.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace millrace::backend {
namespace {

DuckDb in_memory() {
  auto database = DuckDb::open("");
  EXPECT_TRUE(database) << database.error().detail;
  return *std::move(database);
}

TEST(DuckDb, GivesBackWhatItWasGiven) {
  DuckDb database = in_memory();
  ASSERT_TRUE(
      database.run("CREATE TABLE t(b BOOLEAN, i TINYINT, s BIGINT, u UBIGINT, d DOUBLE, v VARCHAR, x BLOB); "
                   "CREATE TABLE other(a INTEGER)"));
  const std::string bytes("a\0\xff\x80z", 5);
  const std::string large(300'000, 'l');
  const auto most = std::numeric_limits<std::uint64_t>::max();
  const auto least = std::numeric_limits<std::int64_t>::min();
  {
    auto rows = database.append_to("t");
    ASSERT_TRUE(rows);
    rows->add(true, -7, least, most, 0.1, "grün", Blob{bytes});
    rows->add(std::optional<bool>(), std::optional<int>(), std::optional<std::int64_t>(1), std::optional<unsigned>(),
              std::optional<double>(), std::optional<std::string>(), std::optional<Blob>());
    ASSERT_TRUE(rows->finish());
  }
  {
    auto insert = database.prepare("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)");
    ASSERT_TRUE(insert);
    ASSERT_TRUE(insert->run(false, 7, 2, 1U, -1.5, large, Blob{large}));
  }
  auto select = database.prepare("SELECT * FROM t WHERE s = ?");
  ASSERT_TRUE(select);
  {
    auto rows = select->query(least);
    ASSERT_TRUE(rows && *rows->next());
    EXPECT_TRUE(rows->boolean(0));
    EXPECT_EQ(rows->signed_number(1), -7);
    EXPECT_EQ(rows->signed_number(2), least);
    EXPECT_EQ(rows->number(3), most);
    EXPECT_EQ(rows->real(4), 0.1);
    EXPECT_EQ(rows->text(5), "grün");
    EXPECT_EQ(rows->text(6), bytes);
    EXPECT_FALSE(*rows->next());
    EXPECT_FALSE(*rows->next()) << "the end stays the end";
  }
  {
    auto rows = select->query(1);
    ASSERT_TRUE(rows && *rows->next());
    for (std::size_t column = 0; column < 7; ++column) EXPECT_EQ(rows->is_null(column), column != 2) << column;
  }
  auto rows = select->query(2);
  ASSERT_TRUE(rows && *rows->next());
  EXPECT_FALSE(rows->boolean(0));
  EXPECT_EQ(rows->text(5), large);
  EXPECT_EQ(rows->text(6), large);
}

TEST(DuckDb, AnswersManyRows) {
  DuckDb database = in_memory();
  ASSERT_TRUE(database.run("CREATE TABLE t(a UBIGINT)"));
  constexpr std::uint64_t count = 10'000;
  ASSERT_TRUE(database.in_transaction([&]() -> Result<> {
    auto rows = database.append_to("t");
    if (!rows) return std::unexpected(rows.error());
    for (std::uint64_t i = 0; i < count; ++i) rows->add(i);
    return rows->finish();
  }));
  auto select = database.prepare("SELECT a FROM t");
  auto rows = select->query();
  ASSERT_TRUE(rows);
  std::uint64_t sum = 0;
  std::uint64_t seen = 0;
  for (; *rows->next(); ++seen) sum += rows->number(0);
  EXPECT_EQ(seen, count);
  EXPECT_EQ(sum, count * (count - 1) / 2);
}

TEST(DuckDb, ATransactionIsWholeOrNothing) {
  DuckDb database = in_memory();
  ASSERT_TRUE(database.run("CREATE TABLE t(a INTEGER NOT NULL)"));
  const auto add = [&](std::optional<int> last) {
    return database.in_transaction([&]() -> Result<> {
      auto rows = database.append_to("t");
      if (!rows) return std::unexpected(rows.error());
      for (int i = 0; i < 5000; ++i) rows->add(i);
      rows->add(last);
      return rows->finish();
    });
  };
  const auto failed = add(std::nullopt);
  ASSERT_FALSE(failed);
  EXPECT_TRUE(failed.error().detail.contains("NOT NULL")) << failed.error().detail;
  ASSERT_TRUE(add(1)) << "it goes on";
  auto count = database.prepare("SELECT count(*) FROM t");
  auto rows = count->query();
  ASSERT_TRUE(*rows->next());
  EXPECT_EQ(rows->signed_number(0), 5001);
}

TEST(DuckDb, SaysWhatIsWrong) {
  DuckDb database = in_memory();
  const auto nonsense = database.run("SELEC 1");
  ASSERT_FALSE(nonsense);
  EXPECT_TRUE(nonsense.error().detail.contains("syntax error")) << nonsense.error().detail;
  const auto unknown = database.prepare("SELECT * FROM nosuch");
  ASSERT_FALSE(unknown);
  EXPECT_TRUE(unknown.error().detail.contains("nosuch")) << unknown.error().detail;
  EXPECT_FALSE(database.append_to("nosuch"));

  auto statement = database.prepare("SELECT 1 / ?::INTEGER, error('no') WHERE ?");
  ASSERT_TRUE(statement);
  EXPECT_FALSE(statement->run(1)) << "a parameter is missing";
  EXPECT_FALSE(statement->run(1, true, 2)) << "one too many";
  EXPECT_FALSE(statement->run(1, true)) << "fails while it runs";
  EXPECT_TRUE(statement->run(1, false));
  EXPECT_TRUE(database.works());
}

TEST(DuckDb, HasNoBusinessElsewhere) {
  DuckDb database = in_memory();
  for (const char* forbidden : {"INSTALL httpfs", "LOAD httpfs", "COPY (SELECT 1) TO '/tmp/millrace_duckdb_test.csv'",
                                "SELECT * FROM read_csv('/etc/passwd')", "ATTACH '/tmp/millrace_duckdb_test.db'",
                                "SET enable_external_access = true", "SET threads = 4"}) {
    EXPECT_FALSE(database.run(forbidden)) << forbidden;
  }
}

}  // namespace
}  // namespace millrace::backend
