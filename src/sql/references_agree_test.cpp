// The names that References holds, against those that another walk over another tree finds: PostgreSQL's own JSON of
// the parse tree, gone through without any knowledge of what a node means.

#include <gtest/gtest.h>
#include <pg_query.h>

#include <boost/json/parse.hpp>
#include <set>

#include "sql/references.hpp"
#include "sql/statement.hpp"

namespace millrace::sql {
namespace {

namespace json = boost::json;

struct Names {
  std::set<std::string> relations, functions, operators, types, collations, with;
};

std::string last_of(const json::value* list) {
  if (list == nullptr || list->as_array().empty()) return {};
  const auto* string = list->as_array().back().as_object().if_contains("String");
  if (string == nullptr) return {};
  const auto* text = string->as_object().if_contains("sval");
  return text == nullptr ? "" : std::string(text->as_string());
}

void add(std::set<std::string>& to, std::string name) {
  // What BETWEEN stands for isn't in the tree.
  if (!name.empty() && !name.contains("BETWEEN")) to.insert(std::move(name));
}

/// Names stand in fields that are called the same wherever they are.
void collect(const json::value& value, Names& names) {
  if (const auto* array = value.if_array()) {
    for (const auto& element : *array) collect(element, names);
  }
  const auto* object = value.if_object();
  if (object == nullptr) return;
  for (const auto& [key, below] : *object) {
    if (key == "relname") add(names.relations, std::string(below.as_string()));
    if (key == "ctename") add(names.with, std::string(below.as_string()));
    if (key == "funcname") add(names.functions, last_of(&below));
    if (key == "operName" || key == "useOp") add(names.operators, last_of(&below));
    if (key == "names" && object->contains("typemod")) add(names.types, last_of(&below));
    if (key == "collname") add(names.collations, last_of(&below));
    if (key == "A_Expr") add(names.operators, last_of(below.as_object().if_contains("name")));
    collect(below, names);
  }
}

std::set<std::string> last_names(const std::vector<Name>& list) {
  std::set<std::string> out;
  for (const auto& name : list) out.insert(name.name);
  return out;
}

void expect_all(std::string_view text, std::string_view what, const std::set<std::string>& independent,
                const std::set<std::string>& collected) {
  for (const auto& name : independent) EXPECT_TRUE(collected.contains(name)) << what << " " << name << " of: " << text;
}

struct Tally {
  int statements = 0;
  int names = 0;
};

void compare(const std::string& text, Tally& tally) {
  const auto statement = parse(text);
  if (statement->references == nullptr) return;
  const References& references = *statement->references;
  PgQueryParseResult result = pg_query_parse(text.c_str());
  ASSERT_EQ(result.error, nullptr) << text;
  json::parse_options deep;
  deep.max_depth = 4096;
  Names names;
  collect(json::parse(result.parse_tree, {}, deep), names);
  pg_query_free_parse_result(result);

  auto relations = last_names(references.reads);
  relations.merge(last_names(references.writes));
  expect_all(text, "relation", names.relations, relations);
  expect_all(text, "WITH", names.with, {references.with.begin(), references.with.end()});
  expect_all(text, "function", names.functions, last_names(references.functions));
  expect_all(text, "operator", names.operators, last_names(references.operators));
  expect_all(text, "type", names.types, last_names(references.types));
  expect_all(text, "collation", names.collations, last_names(references.collations));
  ++tally.statements;
  tally.names += static_cast<int>(names.relations.size() + names.functions.size() + names.operators.size() +
                                  names.types.size() + names.with.size() + names.collations.size());
}

/// Parts that are put together: an expression may stand wherever one may stand.
const char* const kExpressions[] = {
    "1",
    "a",
    "t.b",
    "(t.c).d",
    "f(a)",
    "s.f(a, VARIADIC b)",
    "f(DISTINCT a ORDER BY g(b) USING <) FILTER (WHERE h(c))",
    "f(a) OVER (PARTITION BY p(a) ORDER BY o(b) RANGE BETWEEN w(1) PRECEDING AND v(2) FOLLOWING)",
    "a OPERATOR(s.<->) b",
    "a BETWEEN f(1) AND g(2)",
    "a IN (f(1), g(2))",
    "a IN (SELECT x FROM sub1 WHERE k(x))",
    "a @> ANY (SELECT x FROM sub2)",
    "a << ALL (ARRAY[f(1)]::box[])",
    "EXISTS (SELECT FROM sub3)",
    "(SELECT m(x) FROM sub4)",
    "ARRAY(SELECT x FROM sub5)",
    "CASE f(a) WHEN g(b) THEN h(c) ELSE i(d) END",
    "COALESCE(f(a), b::ty1)",
    "NULLIF(f(a), b)",
    "GREATEST(f(a), g(b))",
    "a::ty2(3)",
    "CAST(f(a) AS s.ty3[])",
    "ty4 'x'",
    "ROW(f(a), b) <= ROW(c, g(d))",
    "a LIKE f(b) ESCAPE g(c)",
    "a NOT SIMILAR TO f(b)",
    "a ILIKE f(b)",
    "a COLLATE s.coll1",
    "a AT TIME ZONE f(b)",
    "extract(epoch FROM f(a))",
    "f(a) IS NOT NULL",
    "f(a) IS UNKNOWN",
    "NOT f(a) OR g(b) AND h(c)",
    "a IS DISTINCT FROM f(b)",
    "a[f(1):g(2)]",
    "(f(a)).b[g(c)]",
    "f(x => g(a))",
    "p(0.5) WITHIN GROUP (ORDER BY f(a))",
    "overlay(f(a) PLACING b FROM 2)",
    "xmlelement(name n, xmlattributes(f(a) AS b), g(c))",
    "xmlserialize(content f(a) AS ty5)",
    "current_date",
    "a !~~* b",
    "- f(a)",
    "|/ f(a)",
    "a #>> '{b}'",
    "treat(a AS ty6)",
    "f(a) NOT IN (g(b))",
    "(a, b) OVERLAPS (c, f(d))",
    "xmlexists(f(a) PASSING g(b))",
    "a IS JSONISH",
};

const char* const kFrames[] = {
    "SELECT {}",
    "SELECT x FROM t1 WHERE {}",
    "SELECT DISTINCT ON ({}) x FROM t1",
    "SELECT x FROM t1 GROUP BY {} HAVING {}",
    "SELECT x FROM t1 ORDER BY {} DESC NULLS LAST",
    "SELECT x FROM t1 LIMIT {} OFFSET {}",
    "VALUES (1), ({})",
    "SELECT x FROM t1 JOIN s.t2 ON {}",
    "SELECT x FROM t1, LATERAL (SELECT {} FROM t3) q",
    "SELECT x FROM fn({}) AS q (r)",
    "SELECT x FROM ROWS FROM (fn({}), fm(1) AS (c1 ty7 COLLATE coll2)) WITH ORDINALITY",
    "SELECT x FROM t1 TABLESAMPLE tsm ({}) REPEATABLE ({})",
    "SELECT x FROM t1 WINDOW w AS (PARTITION BY {} ORDER BY {})",
    "SELECT x FROM t1 GROUP BY CUBE ({}), GROUPING SETS (({}), ())",
    "WITH RECURSIVE w1 AS (SELECT {} UNION SELECT x FROM w1) SELECT x FROM w1",
    "(SELECT {} FROM t1) INTERSECT ALL (SELECT x FROM t2 WHERE {})",
    "SELECT x FROM xmltable({} PASSING {} COLUMNS c ty8 PATH {} DEFAULT {})",
    "INSERT INTO t1 (x) VALUES ({})",
    "INSERT INTO t1 SELECT {} FROM t2 RETURNING {}",
    "INSERT INTO t1 VALUES (1) ON CONFLICT (x) WHERE {} DO UPDATE SET x = {} WHERE {}",
    "INSERT INTO t1 VALUES (1) ON CONFLICT (({})) DO NOTHING",
    "UPDATE t1 SET x = {}, (y, z) = (SELECT {} FROM t2), u[1] = {} FROM t3 WHERE {} RETURNING {}",
    "DELETE FROM t1 USING t2 WHERE {} RETURNING {}",
    "MERGE INTO t1 USING (SELECT {} FROM t3) s ON {} WHEN MATCHED AND {} THEN UPDATE SET x = {}",
    "MERGE INTO t1 USING t3 ON true WHEN NOT MATCHED AND {} THEN INSERT (x) VALUES ({})",
    "WITH w2 AS (UPDATE t1 SET x = {} RETURNING {}) SELECT {} FROM w2",
    "COPY (SELECT {} FROM t1) TO STDOUT",
    "COPY t1 FROM STDIN WHERE {}",
    "SELECT x FROM t1 WHERE {} FOR UPDATE OF t1",
    "SELECT x FROM (t1 NATURAL JOIN t2) AS j JOIN t4 USING (c) WHERE {}",
};

std::string filled(std::string_view frame, std::string_view expression) {
  std::string out;
  for (std::size_t at = 0; at < frame.size();) {
    if (frame.substr(at).starts_with("{}")) {
      out += expression;
      at += 2;
    } else {
      out += frame[at++];
    }
  }
  return out;
}

TEST(ReferencesAgree, WithAnotherWalkOverAnotherTree) {
  Tally tally;
  for (const char* frame : kFrames) {
    for (const char* expression : kExpressions) {
      compare(filled(frame, expression), tally);
      if (HasFatalFailure()) return;
    }
  }
  // Deeper: each expression in the place of `a` in each other, in the middle of a statement.
  for (const char* outer : kExpressions) {
    for (const char* inner : kExpressions) {
      std::string nested = "SELECT x FROM t1 WHERE f(" + std::string(outer) + ", CASE WHEN (SELECT " + inner +
                           " FROM t9) THEN 1 END) IN (VALUES ((" + inner + ")))";
      compare(nested, tally);
      if (HasFatalFailure()) return;
    }
  }
  RecordProperty("statements", tally.statements);
  RecordProperty("names", tally.names);
  EXPECT_GT(tally.statements, 4000);
  EXPECT_GT(tally.names, 18'000);
}

}  // namespace
}  // namespace millrace::sql
