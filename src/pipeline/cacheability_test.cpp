#include "pipeline/cacheability_test.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "pipeline/cacheability.hpp"

namespace millrace::pipeline {
namespace {

using test::Database;
using Oids = std::vector<catalog::Oid>;

Oids sorted(Oids oids) {
  std::ranges::sort(oids);
  return oids;
}

struct Case {
  std::string_view text;
  std::string_view code;
  std::string_view why = {};  ///< "": any
};

void expect(const std::function<void(Database&)>& add, std::initializer_list<Case> cases) {
  Database database;
  if (add) add(database);
  const auto snapshot = database.builder.build();
  for (const auto& c : cases) {
    const auto answer = cacheability(*sql::parse(c.text), *snapshot, test::path());
    EXPECT_EQ(answer.code, c.code) << c.text << ": " << answer.why_not;
    EXPECT_EQ(answer.why_not.empty(), answer.code.empty()) << c.text;
    EXPECT_EQ(answer(), c.code.empty());
    if (!c.why.empty()) EXPECT_EQ(answer.why_not, c.why) << c.text;
    if (!answer()) EXPECT_TRUE(answer.reads.empty()) << c.text;
  }
}

TEST(Cacheability, TheStatementItself) {
  expect({}, {
                 {"SELECT 1", ""},
                 {"VALUES (1), ($1)", ""},
                 {"SELECT * FROM users WHERE id = 1", ""},
                 {"SELECT current_user, count(*) FROM users", ""},
                 {"", "not_a_select"},
                 {"SELEC", "not_a_select"},
                 {"SELECT 1; SELECT 2", "not_a_select"},
                 {"EXPLAIN SELECT 1", "not_a_select"},
                 {"COPY users TO STDOUT", "not_a_select"},
                 {"DELETE FROM users", "not_a_select"},
                 {"SHOW timezone", "not_a_select"},
                 {"SELECT 1 INTO t", "not_a_select"},
                 {"SELECT * FROM users FOR UPDATE", "for_update", "holds FOR UPDATE"},
                 {"SELECT current_date", "current_date", "holds CURRENT_DATE"},
                 {"SELECT ctid FROM users", "a_system_column"},
                 {"SELECT * FROM users TABLESAMPLE system (1)", "tablesample"},
                 {"WITH w AS (DELETE FROM users RETURNING *) SELECT * FROM w", "writes", "writes users"},
                 {"SELECT set_config('a', 'b', false)", "session"},
                 {"SELECT nextval('s')", "writes"},
                 {"SELECT currval('s')", "sequence_state"},
             });
}

TEST(Cacheability, Casts) {
  expect([](Database& d) { d.builder.set_unsafe_casts(true); }, {{"SELECT 1", "casts"}});
}

TEST(Cacheability, Functions) {
  expect(
      [](Database& d) {
        d.builder.function("mine", 'i', false);
        d.builder.function("mixed", 'i', false);
        d.builder.function("mixed", 's', false);
        d.builder.function("to_json", 's', true);
        d.builder.function("to_json", 'i', false);
        d.builder.function("concat", 's', false);
        d.builder.function("upper", 'v', false);
        d.builder.function("length", 's', true);
        d.builder.function("pg_size_pretty", 'i', true);
        d.builder.function("pg_partition_root", 'i', true);
      },
      {
          {"SELECT lower(name) FROM users", ""},
          {"SELECT mine(1)", ""},
          {"SELECT public.mine(1)", ""},
          {"SELECT to_char(at, 'YYYY') FROM users", ""},
          {"SELECT to_json(1)", ""},
          {"SELECT mixed(1)", "stable_function", "calls mixed(), which is stable"},
          {"SELECT concat(1)", "stable_function"},
          {"SELECT upper(name) FROM users", "volatile_function"},
          {"SELECT pg_catalog.upper(name) FROM users", "volatile_function"},
          {"SELECT length(name), pg_size_pretty(1) FROM users", ""},
          {"SELECT pg_partition_root('logs')", "function",
           "calls pg_partition_root(), which reads more than its arguments"},
          {"SELECT now()", "stable_function", "calls now(), which is stable"},
          {"SELECT age(at) FROM users", "stable_function"},
          {"SELECT table_to_xml('users', true, true, '')", "stable_function"},
          {"SELECT current_setting('a')", "stable_function"},
          {"SELECT random()", "volatile_function", "calls random(), which is volatile"},
          {"SELECT count(*) FILTER (WHERE nobodys(id)) FROM users", "unknown_function",
           "calls nobodys(), which isn't known"},
      });
}

TEST(Cacheability, Operators) {
  expect(
      [](Database& d) {
        d.builder.operator_("||", 'v', false);
        d.builder.operator_("<>", 's', false);
        d.builder.operator_("@!", 'i', false);
        d.builder.operator_(">", 'v', true);
      },
      {
          {"SELECT id = 1, id - 1, id BETWEEN 1 AND 2, 1 @! 2 FROM users", ""},
          {"SELECT name || 'x' FROM users", "operator", "uses the operator ||, which isn't immutable"},
          {"SELECT id <> 1 FROM users", "operator"},
          {"SELECT id > 1 FROM users", "operator"},
          {"SELECT id <-> 1 FROM users", "unknown_operator", "uses the operator <->, which isn't known"},
          {"SELECT name LIKE 'x' FROM users", "unknown_operator"},
      });
}

TEST(Cacheability, Types) {
  expect(
      [](Database& d) {
        d.builder.type({.oid = 100'001, .schema = "public", .name = "mood", .kind = 'e', .category = 'E'});
        d.builder.type({.oid = 100'002, .schema = "public", .name = "_mood", .category = 'A', .element = 100'001});
        d.builder.type({.oid = 100'003, .schema = "public", .name = "email", .kind = 'd', .category = 'S'});
        d.builder.type({.oid = 100'004, .schema = "public", .name = "pair", .kind = 'c', .category = 'C'});
        d.builder.type({.oid = 100'005, .schema = "public", .name = "citext", .category = 'S'});
        d.builder.type({.oid = 100'006, .schema = "public", .name = "myrange", .kind = 'r', .category = 'R'});
        d.builder.type(
            {.oid = 3904, .schema = "pg_catalog", .name = "int4range", .kind = 'r', .category = 'R', .built_in = true});
        d.builder.type({.oid = 100'007, .schema = "other", .name = "text", .kind = 'd', .category = 'S'});
        d.add("moods", {{"a", 100'001}, {"b", 100'002}, {"c", 1009}, {"d", 3904}});
        d.add("emails", {{"id", 23}, {"e", 100'003}});
        d.add("classes", {{"c", 2205}});
        d.add("class_lists", {{"c", 2210}});
        d.add("odd", {{"c", 999'999}});
      },
      {
          {"SELECT '1'::int, 'x'::mood, '{}'::mood[], '{}'::int4range", ""},
          {"SELECT * FROM moods", ""},
          {"SELECT 'x'::email", "type", "names the type email, which isn't a plain one"},
          {"SELECT 'x'::pair", "type"},
          {"SELECT 'x'::citext", "type"},
          {"SELECT 'x'::myrange", "type"},
          {"SELECT 'users'::regclass", "type"},
          {"SELECT 'x'::aclitem", "type"},
          {"SELECT 'x'::text", "type"},
          {"SELECT 'x'::pg_catalog.text", ""},
          {"SELECT 'x'::box", "unknown_type", "names the type box, which isn't known"},
          {"SELECT id FROM emails", "type", "reads public.emails, whose column e is of the type email"},
          {"SELECT 1 FROM classes", "type"},
          {"SELECT 1 FROM class_lists", "type"},
          {"SELECT 1 FROM odd", "type"},
      });
}

TEST(Cacheability, Fields) {
  expect([](Database& d) { d.builder.function("full_name", 'i', false, true); },
         {
             {"SELECT u.name, u.lower FROM users u", ""},
             {"SELECT u.full_name FROM users u", "field", "names full_name, which may be a function of a row"},
             {"SELECT (u).full_name FROM users u", "field"},
             {"SELECT u.pg_typeof FROM users u", "field"},
         });
}

TEST(Cacheability, Relations) {
  expect(
      [](Database& d) {
        d.add("far", {{"id", 23}}, 'f');
        d.add("numbers", {}, 'S');
        d.add("pair", {}, 'c');
        d.add("sums", {{"id", 23}}, 'm');
        d.builder.find(d.add("unlogged", {}))->persistence = 'u';
        d.builder.find(d.add("gone", {}))->persistence = 't';
        d.builder.find(d.add("secret", {}))->row_security = true;
        d.builder.find(d.add("ruled", {}))->has_rules = true;
        d.add("pg_class", {}, 'r', "pg_catalog");
        d.add("pg_shadowing", {});
        d.add("hidden", {}, 'r', "other");
        const auto parted = d.add("parted", {}, 'p');
        d.builder.inherit(d.add("parted_far", {}, 'f'), parted);
        const auto half_secret = d.add("half_secret", {}, 'p');
        const auto part = d.add("half_secret_1", {});
        d.builder.find(part)->row_security = true;
        d.builder.inherit(part, half_secret);
      },
      {
          {"SELECT * FROM users, public.orders, logs, sums, unlogged", ""},
          {"SELECT * FROM other.hidden", ""},
          {"SELECT * FROM hidden", "unknown_relation", "the name hidden isn't known"},
          {"SELECT * FROM nothing.users", "unknown_relation"},
          {"SELECT (SELECT 1 FROM foo) FROM users", "unknown_relation", "the name foo isn't known"},
          {"SELECT * FROM far", "foreign_table"},
          {"SELECT * FROM parted", "foreign_table", "reads public.parted_far, a foreign table"},
          {"SELECT * FROM numbers", "sequence"},
          {"SELECT * FROM pair", "relation_kind"},
          {"SELECT * FROM gone", "temporary"},
          {"SELECT * FROM secret", "row_security", "reads public.secret, which is under row security"},
          {"SELECT * FROM half_secret", "row_security"},
          {"SELECT * FROM ruled", "rules"},
          {"SELECT * FROM pg_catalog.pg_class", "system_catalog", "reads pg_catalog.pg_class, a system catalog"},
          {"SELECT * FROM pg_class", "system_catalog"},
          {"SELECT * FROM pg_shadowing", "system_catalog"},
          {"SELECT * FROM information_schema.tables", "system_catalog"},
          {"SELECT * FROM pg_toast.pg_toast_1", "system_catalog"},
      });
}

TEST(Cacheability, NamesOfWithClauses) {
  expect([](Database& d) { d.builder.find(d.add("secret", {}))->row_security = true; },
         {
             {"WITH w AS (SELECT * FROM users) SELECT * FROM w", ""},
             {"WITH w AS (SELECT * FROM users) SELECT * FROM public.w", "unknown_relation"},
             {"WITH secret AS (SELECT 1) SELECT * FROM secret", "row_security"},
         });
}

TEST(Cacheability, ANameThatIsUncertainIsNotAWithClauses) {
  Database database;
  database.builder.schema("closed", false);
  database.add("w", {}, 'r', "closed");
  database.add("w", {});
  const std::vector<std::string> path = {"closed", "public"};
  const auto snapshot = database.builder.build();
  const auto answer = cacheability(*sql::parse("WITH w AS (SELECT 1) SELECT * FROM w"), *snapshot, path);
  EXPECT_EQ(answer.code, "unknown_relation");
}

TEST(Cacheability, ReadsAreTheTablesBelow) {
  Database database;
  const auto sums = database.add("sums", {{"id", 23}}, 'm');
  database.view("v", "SELECT * FROM public.users");
  const auto snapshot = database.builder.build();
  const auto reads = [&](std::string_view text) {
    return cacheability(*sql::parse(text), *snapshot, test::path()).reads;
  };
  EXPECT_EQ(reads("SELECT 1"), Oids{});
  EXPECT_EQ(reads("SELECT * FROM orders o, orders p, users"), sorted({database.users, database.orders}));
  EXPECT_EQ(reads("SELECT * FROM logs"), sorted({database.logs, database.logs_1}));
  EXPECT_EQ(reads("SELECT * FROM logs_1"), Oids{database.logs_1});
  EXPECT_EQ(reads("SELECT * FROM sums"), Oids{sums});
  EXPECT_EQ(reads("SELECT * FROM v"), Oids{database.users});
  EXPECT_EQ(reads("SELECT * FROM v, orders"), sorted({database.users, database.orders}));
}

TEST(Cacheability, Views) {
  expect(
      [](Database& d) {
        d.view("fine", "SELECT lower(name) FROM public.users");
        d.view("nested", "SELECT * FROM public.fine");
        d.view("unqualified", "SELECT * FROM users");
        d.view("timed", "SELECT now()");
        d.view("deep", "SELECT * FROM public.timed");
        d.view("clock", "SELECT current_timestamp");
        d.view("writing", "WITH w AS (DELETE FROM public.users RETURNING 1) SELECT 1");
        d.view("looping", "SELECT * FROM public.looping");
        d.add("no_definition", {}, 'v');
        d.builder.find(d.view("secret", "SELECT 1"))->row_security = true;
        d.view("catalog", "SELECT * FROM pg_catalog.pg_class");
        for (int i = 0; i < 30; ++i) d.view("v" + std::to_string(i), "SELECT * FROM public.v" + std::to_string(i + 1));
        d.view("v30", "SELECT 1");
      },
      {
          {"SELECT * FROM fine", ""},
          {"SELECT * FROM nested, fine", ""},
          {"SELECT * FROM looping", ""},
          {"SELECT * FROM v20", ""},
          {"SELECT * FROM v0", "view"},
          {"SELECT * FROM no_definition", "view"},
          {"SELECT * FROM unqualified", "unknown_relation"},
          {"SELECT * FROM timed", "stable_function"},
          {"SELECT * FROM deep", "stable_function"},
          {"SELECT * FROM clock", "current_timestamp", "reads public.clock, which holds CURRENT_TIMESTAMP"},
          {"SELECT * FROM writing", "writes"},
          {"SELECT * FROM secret", "row_security"},
          {"SELECT * FROM catalog", "system_catalog"},
      });
}

TEST(Cacheability, TextThatBecomesATime) {
  expect(
      [](Database& d) {
        d.builder.function("coalesced", 'i', true);
        d.add("days", {{"day", 25}});
        d.add("cased", {{"coalesced", 1082}, {"case", 1082}});
      },
      {
          {"SELECT $1::date, '2020-01-01'::timestamp, NULL::date", ""},
          {"SELECT day::date, o.day::date, date(o.day) FROM orders o", ""},
          {"SELECT date_trunc('day', at)::date, (at + '1 day')::date, (at::timestamp)::date FROM users", ""},
          {"SELECT note::date FROM orders", "text_to_time",
           "makes a date or time of note, which may be text that says 'now'"},
          {"SELECT date(note) FROM orders", "text_to_time"},
          {"SELECT note::timestamptz[] FROM orders", "text_to_time"},
          {"SELECT (note || '')::date FROM orders", "text_to_time"},
          {"SELECT lower(note)::date FROM orders", "text_to_time"},
          {"SELECT (day::text)::date FROM orders", "text_to_time"},
          {"SELECT coalesce(note, '')::date FROM orders", "text_to_time"},
          {"SELECT day::date FROM orders, days", "text_to_time"},
          {"SELECT day::date FROM users", "text_to_time"},
          {"SELECT day::date FROM (SELECT note AS day FROM orders) s", "text_to_time"},
          {"SELECT day::date FROM (SELECT note FROM orders) s (day)", "text_to_time"},
          {"WITH s (day) AS (SELECT note FROM orders) SELECT day::date FROM s", "text_to_time"},
          {"SELECT coalesced::date FROM (SELECT coalesced(note) FROM orders) s, cased", "text_to_time"},
          {"SELECT \"case\"::date FROM (SELECT CASE WHEN true THEN note END FROM orders) s, cased", "text_to_time"},
          {"SELECT day::date FROM orders, json_to_record('{}') AS x (a text)", "text_to_time"},
          {"SELECT * FROM json_to_record('{}') AS x (a date)", "text_to_time"},
          {"SELECT * FROM json_to_record('{}') AS x (a text)", ""},
      });
}

TEST(Cacheability, SearchPathSaysWhatIsRead) {
  Database database;
  const auto other = database.add("users", {{"id", 23}}, 'r', "other");
  const auto snapshot = database.builder.build();
  const auto statement = sql::parse("SELECT * FROM users");
  const std::vector<std::string> path = {"other", "public"};
  EXPECT_EQ(cacheability(*statement, *snapshot, path).reads, Oids{other});
  EXPECT_EQ(cacheability(*statement, *snapshot, test::path()).reads, Oids{database.users});
  EXPECT_EQ(cacheability(*statement, *snapshot, {}).code, "unknown_relation");
}

}  // namespace
}  // namespace millrace::pipeline
