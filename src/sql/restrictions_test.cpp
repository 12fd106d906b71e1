#include "sql/restrictions.hpp"

#include <gtest/gtest.h>

namespace millrace::sql {
namespace {

using Value = Restrictions::Value;

std::string show(const Value& value) {
  std::string out;
  switch (value.kind) {
    case Value::Kind::number:
    case Value::Kind::boolean:
      out = value.text;
      break;
    case Value::Kind::string:
      out = "'" + value.text + "'";
      break;
    case Value::Kind::parameter:
      out = "$" + std::to_string(value.parameter);
      break;
  }
  if (!value.cast.name.empty()) {
    out += "::" + (value.cast.schema.empty() ? "" : value.cast.schema + ".") + value.cast.name;
  }
  return value.is_array ? "any " + out : out;
}

/// "people(id: 1 2; name: 'a') pets": one place with two predicates, and one with none. "?": not certain.
std::string describe(std::string_view text) {
  const auto restrictions = restrictions_of(text);
  if (!restrictions) return "?";
  std::string out;
  for (const auto& read : restrictions->reads) {
    if (!out.empty()) out += " ";
    out += (read.relation.schema.empty() ? "" : read.relation.schema + ".") + read.relation.name;
    std::string predicates;
    for (const auto& predicate : read.predicates) {
      predicates += (predicates.empty() ? "" : "; ") + predicate.column + ":";
      for (const auto& value : predicate.values) predicates += " " + show(value);
    }
    if (!predicates.empty()) out += "(" + predicates + ")";
  }
  return out;
}

struct Case {
  std::string_view text, found;

  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.text; }
};

class RestrictionsTest : public testing::TestWithParam<Case> {};

TEST_P(RestrictionsTest, AreFound) { EXPECT_EQ(describe(GetParam().text), GetParam().found); }

constexpr Case values[] = {
    {"SELECT 1", ""},
    {"SELECT * FROM t", "t"},
    {"SELECT * FROM t WHERE id = 1", "t(id: 1)"},
    {"SELECT * FROM t WHERE 1 = id", "t(id: 1)"},
    {"SELECT * FROM s.t WHERE id = -12", "s.t(id: -12)"},
    {"SELECT * FROM t WHERE id = 3000000000", "t(id: 3000000000)"},
    {"SELECT * FROM t WHERE id = 1.5", "t(id: 1.5)"},
    {"SELECT * FROM t WHERE a = 'it''s'", "t(a: 'it's')"},
    {"SELECT * FROM t WHERE a = E'\\x41'", "t(a: 'A')"},
    {"SELECT * FROM t WHERE a = $$b$$", "t(a: 'b')"},
    {"SELECT * FROM t WHERE a = true", "t(a: t)"},
    {"SELECT * FROM t WHERE id = $2", "t(id: $2)"},
    {"SELECT * FROM t WHERE id = $1::int", "t(id: $1::pg_catalog.int4)"},
    {"SELECT * FROM t WHERE id = CAST('1' AS s.x)", "t(id: '1'::s.x)"},
    {"SELECT * FROM t WHERE id = uuid 'ab'", "t(id: 'ab'::uuid)"},
    {"SELECT * FROM t WHERE id IN (1, '2', $1)", "t(id: 1 '2' $1)"},
    {"SELECT * FROM t WHERE id = ANY ($1)", "t(id: any $1)"},
    {"SELECT * FROM t WHERE id = ANY ($1::int[])", "t(id: any $1::pg_catalog.int4)"},
    {"SELECT * FROM t WHERE id = ANY ('{1,2}')", "t(id: any '{1,2}')"},
    {"SELECT * FROM t WHERE id = ANY (ARRAY[1, 2])", "t(id: 1 2)"},
    {"SELECT * FROM t WHERE a = 1 AND b > 2 AND (c = 3 AND d = 4)", "t(a: 1; c: 3; d: 4)"},
    // What isn't one of a few values.
    {"SELECT * FROM t WHERE id = NULL", "t"},
    {"SELECT * FROM t WHERE id IN (1, NULL)", "t"},
    {"SELECT * FROM t WHERE id IN (1, x)", "t"},
    {"SELECT * FROM t WHERE id IN (SELECT 1)", "t"},
    {"SELECT * FROM t WHERE id NOT IN (1, 2)", "t"},
    {"SELECT * FROM t WHERE id <> 1", "t"},
    {"SELECT * FROM t WHERE id = 1 OR id = 2", "t"},
    {"SELECT * FROM t WHERE NOT id = 1", "t"},
    {"SELECT * FROM t WHERE NOT (id = 1 AND a = 1)", "t"},
    {"SELECT * FROM t WHERE (id = 1) IS NOT TRUE", "t"},
    {"SELECT * FROM t WHERE coalesce(id = 1, true)", "t"},
    {"SELECT * FROM t WHERE CASE WHEN id = 1 THEN true ELSE a END", "t"},
    {"SELECT * FROM t WHERE id IS NOT DISTINCT FROM 1", "t"},
    {"SELECT * FROM t WHERE id = ALL ($1)", "t"},
    {"SELECT * FROM t WHERE id OPERATOR(s.=) 1", "t"},
    {"SELECT * FROM t WHERE lower(a) = 'x'", "t"},
    {"SELECT * FROM t WHERE id + 0 = 1", "t"},
    {"SELECT * FROM t WHERE id = 1 + 0", "t"},
    {"SELECT * FROM t WHERE id = $1 + 0", "t"},
    {"SELECT * FROM t WHERE id = ANY ($1 || $2)", "t"},
    {"SELECT * FROM t WHERE (id, a) = (1, 2)", "t"},
    {"SELECT * FROM t WHERE id::text = '1'", "t"},
    {"SELECT * FROM t WHERE a COLLATE x = 'b'", "t"},
    {"SELECT * FROM t WHERE a = 'b' COLLATE x", "t"},
    {"SELECT * FROM t WHERE a = 'abc'::varchar(2)", "t"},
    {"SELECT * FROM t WHERE a = 'abc'::char(2)", "t"},
    {"SELECT * FROM t WHERE a = '{1}'::int[]", "t"},
    {"SELECT * FROM t WHERE a = b'1'", "t"},
    {"SELECT * FROM t WHERE t.* = $1", "t"},
    {"SELECT * FROM t WHERE (t).id = 1", "t"},
    {"SELECT * FROM t WHERE t.a.b = 1", "t"},
    {"SELECT * FROM t WHERE id = ANY (ARRAY[[1], [2]])", "t"},
    {"SELECT * FROM t WHERE id = ANY (ARRAY[1]::int[])", "t"},
    {"SELECT id = 1 FROM t", "t"},
    {"SELECT count(*) FILTER (WHERE id = 1) FROM t", "t"},
    {"SELECT id FROM t GROUP BY id HAVING id = 1", "t"},
    {"SELECT DISTINCT ON (id = 1) * FROM t ORDER BY id = 1", "t"},
};
INSTANTIATE_TEST_SUITE_P(Values, RestrictionsTest, testing::ValuesIn(values));

constexpr Case columns[] = {
    {"SELECT * FROM t WHERE t.id = 1", "t(id: 1)"},
    {"SELECT * FROM t AS a WHERE a.id = 1", "t(id: 1)"},
    {"SELECT * FROM t AS a WHERE t.id = 1", "t"},
    {"SELECT * FROM s.t WHERE t.id = 1", "s.t(id: 1)"},
    {"SELECT * FROM s.t WHERE s.t.id = 1", "s.t"},
    {"SELECT * FROM t AS a (id, b) WHERE id = 1 AND a.id = 1", "t"},
    {"SELECT * FROM db.s.t WHERE id = 1", "?"},
    {"SELECT * FROM a, b WHERE id = 1", "a b"},
    {"SELECT * FROM a, b WHERE a.id = 1", "a(id: 1) b"},
    {"SELECT * FROM a, b WHERE a.id = 1 AND b.id = 2", "a(id: 1) b(id: 2)"},
    {"SELECT * FROM a, b WHERE a.id = b.id AND a.id = 1", "a(id: 1) b"},
    {"SELECT * FROM a x, a y WHERE x.id = 1", "a(id: 1) a"},
    {"SELECT * FROM s.a, r.a WHERE a.id = 1", "s.a r.a"},
    {"SELECT * FROM a b, b a WHERE a.id = 1", "a b(id: 1)"},
    {"SELECT * FROM t, generate_series(1, 3) id WHERE id = 1", "t"},
    {"SELECT * FROM t, generate_series(1, 3) x WHERE t.id = 1", "t(id: 1)"},
    {"SELECT * FROM t, (SELECT 1 AS id) x WHERE x.id = 1", "t"},
    {"SELECT * FROM t JOIN (SELECT 1 AS id) s USING (id) WHERE id = 1", "t"},
};
INSTANTIATE_TEST_SUITE_P(Columns, RestrictionsTest, testing::ValuesIn(columns));

constexpr Case joins[] = {
    {"SELECT * FROM a JOIN b ON a.id = b.id WHERE a.id = 1", "a(id: 1) b"},
    {"SELECT * FROM a JOIN b ON a.id = b.id AND a.id = 1 AND b.x = 2", "a(id: 1) b(x: 2)"},
    {"SELECT * FROM a LEFT JOIN b ON a.id = b.id WHERE b.id = 1", "a b(id: 1)"},
    {"SELECT * FROM a FULL JOIN b ON a.id = b.id WHERE b.id = 1", "a b(id: 1)"},
    {"SELECT * FROM a LEFT JOIN b ON a.x = 1 AND b.x = 2", "a b(x: 2)"},
    {"SELECT * FROM a RIGHT JOIN b ON a.x = 1 AND b.x = 2", "a(x: 1) b"},
    {"SELECT * FROM a FULL JOIN b ON a.x = 1 AND b.x = 2", "a b"},
    {"SELECT * FROM a LEFT JOIN (b JOIN c ON b.x = 2 AND c.x = 3) ON a.x = 1", "a b(x: 2) c(x: 3)"},
    {"SELECT * FROM a LEFT JOIN (b LEFT JOIN c ON b.x = 2) ON c.x = 3", "a b c(x: 3)"},
    {"SELECT * FROM (a LEFT JOIN b ON true) JOIN c ON b.x = 2", "a b(x: 2) c"},
    {"SELECT * FROM a JOIN b USING (id) WHERE id = 1", "a b"},
    {"SELECT * FROM a JOIN b USING (id) WHERE a.id = 1", "a(id: 1) b"},
    {"SELECT * FROM a JOIN b USING (id) AS j WHERE j.id = 1", "a b"},
    {"SELECT * FROM a NATURAL JOIN b WHERE id = 1", "a b"},
    {"SELECT * FROM (a JOIN b USING (id)) AS j WHERE j.id = 1", "a b"},
    {"SELECT * FROM (x a JOIN b ON a.x = 2) AS j, c AS a WHERE a.id = 1", "x b c"},
    {"SELECT * FROM (a CROSS JOIN b) AS a WHERE a.id = 1", "a b"},
    {"SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.id = a.id) c WHERE a.id = 1", "a(id: 1) b"},
    {"SELECT * FROM a, LATERAL (SELECT * FROM b WHERE a.id = 1) c", "a b"},
    {"SELECT * FROM a, LATERAL (SELECT * FROM b WHERE id = 1) c", "a b(id: 1)"},
};
INSTANTIATE_TEST_SUITE_P(Joins, RestrictionsTest, testing::ValuesIn(joins));

constexpr Case levels[] = {
    {"SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id = a.id)", "a b"},
    {"SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.id = 1)", "a b"},
    {"SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id = 1)", "a b(id: 1)"},
    {"SELECT * FROM a WHERE x IN (SELECT x FROM b WHERE id = 1) AND id = 2", "a(id: 2) b(id: 1)"},
    {"SELECT (SELECT x FROM b WHERE id = 1) FROM a", "a b(id: 1)"},
    {"SELECT * FROM (SELECT * FROM a) s WHERE id = 1", "a"},
    {"SELECT * FROM (SELECT * FROM a WHERE id = 1) s", "a(id: 1)"},
    {"SELECT * FROM a WHERE id = 1 UNION SELECT * FROM a WHERE id = 2", "a(id: 1) a(id: 2)"},
    {"SELECT * FROM a WHERE id = 1 UNION ALL SELECT * FROM a", "a(id: 1) a"},
    {"SELECT * FROM a EXCEPT SELECT * FROM b WHERE id = 1", "a b(id: 1)"},
    {"WITH w AS (SELECT * FROM a WHERE id = 1) SELECT * FROM w x, w y", "w w a(id: 1)"},
    {"WITH a AS (SELECT * FROM a) SELECT * FROM a WHERE id = 1", "a(id: 1) a"},
    {"WITH RECURSIVE w AS (SELECT * FROM a WHERE id = 1 UNION SELECT a.* FROM a JOIN w ON a.p = w.id) SELECT * FROM w",
     "w a(id: 1) a w"},
    {"SELECT count(*), sum(x) OVER (ORDER BY y) FROM a WHERE id = 1 GROUP BY ROLLUP (x)", "a(id: 1)"},
    {"TABLE a", "a"},
    {"VALUES (1)", ""},
};
INSTANTIATE_TEST_SUITE_P(Levels, RestrictionsTest, testing::ValuesIn(levels));

constexpr Case uncertain[] = {
    {"", "?"},
    {"SELEC", "?"},
    {"SELECT * FROM t WHERE id = 1; SELECT 1", "?"},
    {"SELECT * INTO u FROM t WHERE id = 1", "?"},
    {"DELETE FROM t WHERE id = 1", "?"},
    {"WITH w AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM w", "?"},
    {"EXPLAIN SELECT * FROM t WHERE id = 1", "?"},
    {"SELECT * FROM t TABLESAMPLE system (1) WHERE id = 1", "?"},
    {"SELECT * FROM t WHERE id = 1 FOR UPDATE OF t", "?"},
    {"SELECT * FROM t WHERE id = 1 AND CURRENT OF c", "?"},
    {"SELECT * FROM t WHERE id = $70000", "?"},
};
INSTANTIATE_TEST_SUITE_P(Uncertain, RestrictionsTest, testing::ValuesIn(uncertain));

TEST(Restrictions, AreOfBoundedSize) {
  std::string list = "0";
  for (int i = 1; i < 64; ++i) list += "," + std::to_string(i);
  const auto all = restrictions_of("SELECT FROM t WHERE id IN (" + list + ")");
  ASSERT_EQ(all->reads.at(0).predicates.at(0).values.size(), 64u);
  EXPECT_EQ(describe("SELECT FROM t WHERE id IN (" + list + ",64)"), "t");

  std::string relations = "t0", conditions = "t0.id = 0";
  for (int i = 1; i < 32; ++i) {
    relations += ", t" + std::to_string(i);
    conditions += " AND t" + std::to_string(i) + ".id = 0";
  }
  const auto many = restrictions_of("SELECT FROM " + relations + " WHERE " + conditions);
  ASSERT_EQ(many->reads.size(), 32u);
  for (const auto& read : many->reads) EXPECT_EQ(read.predicates.size(), 1u);
  EXPECT_FALSE(restrictions_of("SELECT FROM " + relations + ", u WHERE " + conditions));

  std::string deep = "t";
  for (int i = 0; i < 40; ++i) deep.insert(0, "(").append(" CROSS JOIN u").append(std::to_string(i)).append(")");
  EXPECT_FALSE(restrictions_of("SELECT FROM " + deep));
}

TEST(Restrictions, CountTheUsesOfParameters) {
  const auto found = restrictions_of("SELECT $1 FROM t WHERE id = $1 AND a = $3 LIMIT $4");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->parameter_uses, (std::vector<std::uint32_t>{2, 0, 1, 1}));
  EXPECT_EQ(found->uses(1), 2u);
  EXPECT_EQ(found->uses(5), 0u);
  EXPECT_EQ(found->uses(0), 0u);
}

}  // namespace
}  // namespace millrace::sql
