#include <gtest/gtest.h>

#include <vector>

#include "sql/statement.hpp"

namespace millrace::sql {
namespace {

std::uint64_t fingerprint(std::string_view text) {
  const auto statement = parse(text);
  EXPECT_EQ(statement->why_unparsed, "") << text;
  return statement->fingerprint;
}

/// Texts of one group have one fingerprint; those of different groups have different ones.
const std::vector<std::vector<std::string_view>> kGroups = {
    {"SELECT a FROM t WHERE b = 1", "select a\nfrom t /* c */ where b=2 -- d", "SELECT a FROM T WHERE B = 'x'",
     "SELECT a FROM t WHERE b = $1", "SELECT a FROM t WHERE (b = NULL)", "SELECT a FROM t WHERE b = true",
     "SELECT \"a\" FROM t WHERE b = -1.5e3"},
    {"SELECT a FROM t WHERE b <> 1", "SELECT a FROM t WHERE b != 2"},
    {"SELECT a FROM t WHERE b > 1"},
    {"SELECT a FROM \"T\" WHERE b = 1"},
    {"SELECT a FROM s.t WHERE b = 1"},
    {"SELECT a FROM t AS u WHERE b = 1", "SELECT a FROM t u WHERE b = 1"},
    {"SELECT a AS c FROM t WHERE b = 1", "SELECT a c FROM t WHERE b = 1"},
    {"SELECT a, b FROM t"},
    {"SELECT b, a FROM t"},
    {"SELECT ab FROM t"},
    {"SELECT a.b FROM t"},
    {"SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN (1, 2, 3)", "SELECT a FROM t WHERE b IN ($1, $2)"},
    {"SELECT a FROM t WHERE b NOT IN (1)"},
    {"SELECT a FROM t WHERE b IN (c)"},
    {"SELECT a FROM t WHERE b IN (c, d)"},
    {"SELECT a FROM t WHERE b IN (SELECT 1)"},
    {"INSERT INTO t VALUES (1, now())", "INSERT INTO t VALUES (1, now()), ('x', now()), (NULL, now())"},
    {"INSERT INTO t VALUES (now(), 1)"},
    {"INSERT INTO t VALUES (now(), 1), (now(), now())"},
    {"INSERT INTO t (a) VALUES (1)"},
    {"SELECT f(1)", "SELECT f(2)"},
    {"SELECT f(1, 2)"},
    {"SELECT f(DISTINCT a)"},
    {"SELECT f(a)"},
    {"SELECT f(a) FILTER (WHERE b)"},
    {"SELECT a::int", "SELECT CAST(a AS int)"},
    {"SELECT a::text"},
    {"SELECT a FROM t ORDER BY 1"},
    {"SELECT a FROM t ORDER BY a"},
    {"SELECT a FROM t ORDER BY a DESC"},
    {"SELECT a FROM t ORDER BY a NULLS FIRST"},
    {"SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 20"},
    {"SELECT a FROM t OFFSET 1"},
    {"SELECT a FROM t JOIN u ON true"},
    {"SELECT a FROM t LEFT JOIN u ON true"},
    {"SELECT a FROM t, u"},
    {"SELECT a IS NULL"},
    {"SELECT a IS NOT NULL"},
    {"SELECT a AND b OR c"},
    {"SELECT a AND (b OR c)"},
    {"SELECT a UNION SELECT b"},
    {"SELECT a UNION ALL SELECT b"},
    {"SELECT a FROM t FOR UPDATE"},
    {"SELECT a FROM t FOR UPDATE SKIP LOCKED"},
    {"SELECT 1; SELECT a"},
    {"SELECT a; SELECT 1"},
    {"UPDATE t SET a = 1 WHERE b = 2"},
    {"UPDATE t SET b = 1 WHERE a = 2"},
    {"DELETE FROM t WHERE a = 2"},
    {"CREATE TABLE t (a int)"},
    {"CREATE TABLE t (a int NOT NULL)"},
    {"CREATE UNLOGGED TABLE t (a int)"},
    {"CREATE FOREIGN TABLE t (a int) SERVER s"},
    {"CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"},
    {"CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"},
    {"REINDEX SCHEMA s"},
    {"REINDEX SCHEMA u"},
    {"FETCH 10 FROM c"},
    {"FETCH 20 FROM c"},
    {"FETCH BACKWARD 10 FROM c"},
    {"SET a = 1", "SET a = 'x'"},
    {"SET b = 1"},
    {"BEGIN"},
    {"COMMIT"},
};

TEST(Fingerprint, DependsOnWhatTheStatementDoes) {
  for (const auto& group : kGroups) {
    for (const auto text : group) EXPECT_EQ(fingerprint(text), fingerprint(group.front())) << text;
  }
  for (std::size_t i = 0; i < kGroups.size(); ++i) {
    for (std::size_t j = i + 1; j < kGroups.size(); ++j) {
      EXPECT_NE(fingerprint(kGroups[i].front()), fingerprint(kGroups[j].front())) << kGroups[i].front() << "\n"
                                                                                  << kGroups[j].front();
    }
  }
}

// Statistics and history are kept by fingerprint: it must not change by accident, nor from one process to the next.
TEST(Fingerprint, IsTheSameInEveryProcess) {
  EXPECT_EQ(fingerprint("SELECT a FROM t WHERE b = 1"), 5604186215361940972u);
}

}  // namespace
}  // namespace millrace::sql
