#include "sql/statement_memo.hpp"

#include <gtest/gtest.h>

#include <random>

#include "sql/describe.hpp"
#include "sql/template_key.hpp"

namespace millrace::sql {
namespace {

TEST(StatementMemo, KnowsATextAgain) {
  StatementMemo memo;
  const auto first = memo.find_or_parse("SELECT a FROM t");
  EXPECT_EQ(memo.find_or_parse("SELECT a FROM t"), first);
  EXPECT_EQ(memo.counts().hits, 1);
  EXPECT_EQ(memo.counts().misses, 1);
  EXPECT_EQ(memo.counts().entries, 1);
  EXPECT_GT(memo.counts().bytes, 0);
}

TEST(StatementMemo, SharesAnEntryAmongConstants) {
  StatementMemo memo;
  const auto first = memo.find_or_parse("UPDATE t SET a = 1 WHERE b = 'x'");
  EXPECT_EQ(memo.find_or_parse("UPDATE t SET a = 23 WHERE b = 'it''s'"), first);
  EXPECT_NE(memo.find_or_parse("UPDATE t SET a = 2.5 WHERE b = 'x'"), first);
  EXPECT_EQ(memo.counts().entries, 2);
}

TEST(StatementMemo, DoesNotShareWhatDependsOnConstants) {
  StatementMemo memo;
  EXPECT_EQ(describe(*memo.find_or_parse("SET a = 1")), "set; set a {SET a = 1}");
  EXPECT_EQ(describe(*memo.find_or_parse("SET a = 2")), "set; set a {SET a = 2}");
  EXPECT_EQ(describe(*memo.find_or_parse("EXPLAIN (ANALYZE 0) DELETE FROM t")), "explain");
  EXPECT_EQ(describe(*memo.find_or_parse("EXPLAIN (ANALYZE 1) DELETE FROM t")), "explain writes");
}

TEST(StatementMemo, ATextIsNoKeyWithConstantsOut) {
  StatementMemo memo;
  EXPECT_EQ(memo.find_or_parse("SELECT 1")->kind, StatementKind::select);
  EXPECT_EQ(memo.find_or_parse("SELECT \x01")->kind, StatementKind::unparsed);
}

TEST(StatementMemo, ATextUsedAgainGetsAnEntryOfItsOwn) {
  StatementMemo memo;
  for (int i = 0; i < 4; ++i) memo.find_or_parse("SELECT 1");
  EXPECT_EQ(memo.counts().entries, 2);
  for (int i = 0; i < 100; ++i) memo.find_or_parse("SELECT " + std::to_string(i));
  EXPECT_EQ(memo.counts().entries, 2);
  EXPECT_EQ(memo.counts().misses, 1);
}

TEST(StatementMemo, LeavesLongTextToOthers) {
  StatementMemo memo(16, {.inline_bytes = 16, .max_bytes = 32});
  const std::string_view longer = "SELECT 'more than sixteen'";
  EXPECT_EQ(memo.find_or_parse(longer), nullptr);
  memo.remember(longer, parse(longer));
  ASSERT_NE(memo.find_or_parse(longer), nullptr);
  EXPECT_EQ(memo.find_or_parse(longer)->kind, StatementKind::select);

  const std::string too_long(33, ' ');
  EXPECT_EQ(memo.find_or_parse(too_long)->why_unparsed, "the text is longer than the limit");
  memo.remember(too_long, parse(too_long));
  EXPECT_EQ(memo.counts().entries, 1);
}

TEST(StatementMemo, IsBoundedInEntries) {
  StatementMemo memo(8);
  for (int i = 0; i < 1000; ++i) {
    memo.find_or_parse("SELECT often");
    memo.find_or_parse("SELECT a" + std::to_string(i));
  }
  EXPECT_EQ(memo.counts().entries, 8);
  EXPECT_EQ(memo.counts().misses, 1001) << "what is used often stays";
}

TEST(StatementMemo, IsBoundedInBytes) {
  StatementMemo memo(64);
  for (int i = 0; i < 1000; ++i) {
    memo.find_or_parse("SELECT a" + std::to_string(i) + std::string(static_cast<std::size_t>(i), ' '));
    memo.find_or_parse("SELEC" + std::to_string(i));
    EXPECT_LE(memo.counts().bytes, 64 * 2048);
  }
  const std::string huge = "SELECT" + std::string(64 * 1024, ' ') + "a";
  memo.remember(huge, parse(huge));
  EXPECT_EQ(memo.find_or_parse(huge), nullptr) << "one text doesn't push out all others";
}

// ---- What a key with constants out promises: the same meaning for every text that has it ----

/// Builds statements at random from pieces in which ? stands for a constant and % for an expression.
class RandomText {
 public:
  explicit RandomText(unsigned seed) : random_(seed) {}

  std::string pattern() {
    if (pick(8) == 0) return soup();
    std::string out = one_of(kStatements);
    for (std::size_t at; (at = out.find('%')) != std::string::npos;) out.replace(at, 1, one_of(kExpressions));
    return out;
  }

  std::string with_constants(const std::string& pattern) {
    std::string out;
    for (const char c : pattern) {
      if (c == '?') {
        out += one_of(kConstants);
      } else {
        out += c;
      }
    }
    return out;
  }

 private:
  static constexpr const char* kStatements[] = {
      "SELECT %, % FROM t WHERE % = % AND a IN (?, ?) ORDER BY ? LIMIT ? OFFSET ?",
      "SELECT * FROM t TABLESAMPLE system (?) REPEATABLE (?) WHERE %",
      "SELECT a[?], % OVER (ORDER BY a ROWS BETWEEN ? PRECEDING AND CURRENT ROW) FROM t FETCH FIRST ? ROWS ONLY",
      "INSERT INTO t (a, b) VALUES (%, %), (?, ?) ON CONFLICT (a) DO UPDATE SET b = % RETURNING %",
      "UPDATE t SET a = %, b[?] = % WHERE c = ?",
      "DELETE FROM t WHERE %",
      "MERGE INTO t USING s ON % WHEN MATCHED AND % THEN UPDATE SET a = ? WHEN NOT MATCHED THEN INSERT VALUES (?, %)",
      "WITH x AS (SELECT %) SELECT % FROM x FOR UPDATE",
      "SELECT set_config(?, ?, ?)",
      "SELECT nextval(?), currval(?)",
      "EXPLAIN (ANALYZE ?) DELETE FROM t WHERE a = ?",
      "SET a = ?",
      "SELECT ?; SELECT %",
      "COPY (SELECT %) TO STDOUT",
      "CREATE TEMP TABLE t (a int DEFAULT ?, b float(?), c int[?])",
  };
  static constexpr const char* kExpressions[] = {
      "?",
      "?",
      "?",
      "-?",
      "- ?",
      "a",
      "a1",
      "\"q?\"",
      "$1",
      "f(?)",
      "a + ?",
      "a-?",
      "(? * ?)",
      "?::int",
      "?::float(?)",
      "?::float (?)",
      "CAST(? AS int[?])",
      "?::varchar(?)",
      "interval ? second(?)",
      "interval(?) ?",
      "date ?",
      "ARRAY[?, ?]",
      "a BETWEEN ? AND ?",
      "a LIKE ? ESCAPE ?",
      "CASE WHEN a = ? THEN ? ELSE ? END",
      "EXTRACT(year FROM date ?)",
      "(SELECT ? FROM pg_temp.t)",
      "a AT TIME ZONE ?",
      "? IS NULL",
      "true",
      "NULL",
      "count(*) FILTER (WHERE a > ?)",
      "a->?",
      "a @> ?",
      "numeric(?,?) ?",
      "timestamp(?) ?",
      "bit(?) ?",
      "float? ",
      "a.?",
      "?.a",
      "n?",
      "e?",
      "U&?",
      "?a",
  };
  static constexpr const char* kConstants[] = {
      "0",          "1",
      "2",          "24",
      "53",         "54",
      "60",         "12345",
      "999999999",  "2147483647",
      "2147483648", "12345678901234567890",
      "007",        "0000000000001",
      "1.5",        "1.",
      "0.0",        "1e5",
      ".5",         "''",
      "'a'",        "'it''s'",
      "'pg_temp'",  "'\n'",
      "'a\\b'",     "'-- no comment'",
      "'/*'",       "'\xc3\xa4'",
      "'x' \n 'y'", "E'a'",
      "'true'",     "'local'",
      "'off'",      "'$1'",
  };

  std::string soup() {
    static constexpr const char* kTokens[] = {"SELECT", "FROM", "t", "(",      ")",  ",",  "?",        "?",     "?",
                                              "=",      "-",    "'", "\"",     "$",  "$1", ".",        "/",     "*",
                                              "&",      "[",    "]", ":",      " ",  " ",  "\n",       "float", "int",
                                              "E",      "\\",   ";", "VALUES", "--", "::", "interval", "\x01",  "a"};
    std::string out = "SELECT ";
    for (unsigned i = 0, n = pick(8); i <= n; ++i) out += one_of(kTokens);
    return out;
  }

  unsigned pick(std::size_t n) { return static_cast<unsigned>(random_() % n); }
  template <std::size_t N>
  const char* one_of(const char* const (&of)[N]) {
    return of[pick(N)];
  }

  std::mt19937 random_;
};

TEST(StatementMemo, SaysOfEveryTextWhatTheParserSays) {
  RandomText random(20240601);
  StatementMemo memo(256);
  int parsed = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string pattern = random.pattern();
    for (int variant = 0; variant < 4; ++variant) {
      const std::string text = random.with_constants(pattern);
      const auto remembered = memo.find_or_parse(text);
      const auto direct = parse(text);
      ASSERT_EQ(remembered->fingerprint, direct->fingerprint) << text;
      ASSERT_EQ(describe(*remembered), describe(*direct)) << text;
      parsed += direct->kind != StatementKind::unparsed;
    }
  }
  EXPECT_GT(parsed, 20'000);
  EXPECT_GT(memo.counts().hits, 5'000);
}

}  // namespace
}  // namespace millrace::sql
