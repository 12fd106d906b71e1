#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <thread>

#include "sql/parse_pool.hpp"
#include "sql/scan_guard.hpp"
#include "sql/statement.hpp"

namespace millrace::sql {
namespace {

std::string times(std::size_t n, std::string_view piece) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += piece;
  return out;
}

/// Parsed by a pool, waited for.
std::shared_ptr<const Statement> parse_in(ParsePool& pool, std::string text) {
  std::mutex mutex;
  std::condition_variable done;
  std::shared_ptr<const Statement> out;
  pool.parse(std::move(text), [&](std::shared_ptr<const Statement> statement) {
    const std::scoped_lock lock(mutex);
    out = std::move(statement);
    done.notify_one();
  });
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return out != nullptr; });
  return out;
}

/// What recurses, nests or repeats, `n` times.
std::vector<std::string> nests(std::size_t n) {
  return {
      "SELECT " + times(n, "1+") + "1",
      "SELECT " + times(n, "(") + "1" + times(n, ")"),
      "SELECT " + times(n, "(SELECT ") + "1" + times(n, ")"),
      "SELECT * FROM " + times(n, "(SELECT * FROM ") + "t" + times(n, ") s"),
      "SELECT " + times(n, "NOT ") + "true",
      "SELECT " + times(n, "- ") + "1",
      "SELECT " + times(n, "CASE WHEN true THEN ") + "1" + times(n, " END"),
      "SELECT " + times(n, "f(") + "1" + times(n, ")"),
      "SELECT ARRAY" + times(n, "[") + times(n, "]"),
      "SELECT a" + times(n, "[1]"),
      "SELECT 1" + times(n, "::int"),
      "SELECT 1" + times(n, " IS NULL"),
      "SELECT true" + times(n, " AND true OR true"),
      "SELECT '{}'::int" + times(n, "[]"),
      "SELECT 1" + times(n, " UNION SELECT 1"),
      "SELECT 1 FROM t" + times(n, " JOIN t ON true"),
      times(n, "WITH a AS (") + "SELECT 1" + times(n, ") SELECT 1"),
      "(SELECT 1 ORDER BY 1) ORDER BY " + times(n, "1+") + "1",
      "(SELECT 1 LIMIT 1) LIMIT 1" + times(n, "::a"),
      "CREATE FUNCTION f() RETURNS TABLE (a t(" + times(n, "1+") + "1)) LANGUAGE sql AS 'x'",
      "SELECT '1'::t(" + times(n, "1+") + "1)",
      times(n, "EXPLAIN ") + "SELECT 1",
      times(n, ";"),
      times(n, "SELECT;"),
      times(n, "/*"),
      times(n, "/*") + times(n, "*/"),
      "SELECT 1" + times(n, "+") + "1",
      "SELECT 1" + times(n, "+-") + "1",
      "SELECT " + times(n, "'"),
      "SELECT " + times(n, "$a$"),
      "SELECT " + times(n, "\""),
      "INSERT INTO t VALUES (1)" + times(n, ",(1)"),
      "SELECT 1 IN (1" + times(n, ",1") + ")",
  };
}

/// Of this thread: it doesn't grow with what else the machine does.
std::chrono::nanoseconds cpu_time() {
  timespec used = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

TEST(HostileText, OfInlineLengthIsSafeAndQuickOnAnyThread) {
  const ParseLimits limits;
  for (std::size_t n : {10, 100, 1'000, 4'000}) {
    for (std::string& text : nests(n)) {
      text.resize(std::min(text.size(), limits.inline_bytes));
      const auto begin = cpu_time();
      parse(text);
      EXPECT_LT(cpu_time() - begin, std::chrono::seconds(1)) << text.substr(0, 60);
    }
  }
}

TEST(HostileText, OfAnyLengthIsSafeInThePool) {
  ParsePool pool;
  for (const std::string& text : nests(100'000)) EXPECT_NE(parse_in(pool, text), nullptr);
}

TEST(HostileText, WithoutTheStackForItIsNotParsed) {
  const std::string text = "SELECT " + times(500'000, "1+") + "1";
  std::thread([&] { EXPECT_EQ(parse(text)->why_unparsed, "the text is too long for this thread's stack"); }).join();
}

TEST(HostileText, FiveThousandTermsAreUnderstood) {
  ParsePool pool;
  EXPECT_EQ(parse_in(pool, "SELECT " + times(5'000, "1+") + "1")->kind, StatementKind::select);
  EXPECT_EQ(parse_in(pool, "SELECT " + times(100'000, "1 OR ") + "1")->kind, StatementKind::select);
}

TEST(HostileText, AnyBytesAreAllowed) {
  std::string all;
  for (int i = 1; i < 256; ++i) all += static_cast<char>(i);
  parse(all);
  parse("SELECT '\xff\xfe\x80");
  parse("SELECT \xe2");
  parse("SELECT '" + times(1000, "\xf0") + "' FROM");
}

TEST(ScanGuard, LetsThroughWhatPeopleWrite) {
  EXPECT_FALSE(scans_slowly(""));
  EXPECT_FALSE(scans_slowly("SELECT a - -1 @> b"));
  EXPECT_FALSE(scans_slowly("--" + std::string(200, '-') + "\nSELECT 1 -- " + std::string(200, '-')));
  EXPECT_FALSE(scans_slowly("/*" + std::string(5000, '*') + "*/ SELECT 1"));
  EXPECT_FALSE(scans_slowly(times(1000, "/" + std::string(120, '*') + "/\n-- " + std::string(120, '-') + "\n")));
  EXPECT_TRUE(scans_slowly("SELECT 1" + std::string(8000, '+') + "1"));
  EXPECT_TRUE(scans_slowly(times(4000, "/*")));
}

TEST(ParsePool, EveryTextHasItsTurn) {
  constexpr int kTexts = 1000;
  ParsePool pool;
  std::atomic<int> parsed = 0;
  std::promise<void> last;
  for (int i = 0; i < kTexts; ++i) {
    pool.parse("SELECT '" + times(10'000, "x") + "'", [&, i](const auto& statement) {
      if (statement->kind == StatementKind::select) ++parsed;
      if (i == kTexts - 1) last.set_value();
    });
  }
  last.get_future().wait();
  EXPECT_EQ(parsed, kTexts);
}

TEST(ParsePool, AnswersWhatWaitsWhenItGoes) {
  constexpr int kTexts = 400;
  std::atomic<int> answered = 0;
  {
    ParsePool pool(2);
    for (int i = 0; i < kTexts; ++i) {
      pool.parse("SELECT " + times(1'000, "1+") + "1", [&](const auto& statement) {
        EXPECT_NE(statement, nullptr);
        ++answered;
      });
    }
  }
  EXPECT_EQ(answered, kTexts);
}

TEST(Parse, WorksOnManyThreadsAtOnce) {
  const std::vector<std::string> texts = nests(20);
  std::vector<std::uint64_t> expected;
  for (const auto& text : texts) expected.push_back(parse(text)->fingerprint);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        for (std::size_t t = 0; t < texts.size(); ++t) EXPECT_EQ(parse(texts[t])->fingerprint, expected[t]);
      }
    });
  }
}

TEST(Parse, KeepsNoMemory) {
  const auto parse_some = [](int n) {
    for (int i = 0; i < n; ++i) {
      parse("SELECT a, count(*) FROM t JOIN u USING (id) WHERE b IN (1, 2, 3) GROUP BY a ORDER BY 2 DESC LIMIT 10");
      parse("SELECT " + times(50, "(") + "1" + times(50, ")"));
      parse(
          "SELECT an_identifier_that_is_longer_than_sixty_three_bytes_is_cut_with_a_notice_________ FROM t WHERE "
          "'a\\b'");
      parse("SELECT FROM WHERE");
    }
  };
  parse_some(100);
  const auto before = mallinfo2().uordblks;
  parse_some(20'000);
  EXPECT_LT(mallinfo2().uordblks, before + 64 * 1024);
}

}  // namespace
}  // namespace millrace::sql
