#include <gtest/gtest.h>

#include <algorithm>

#include "pipeline/cacheability.hpp"
#include "pipeline/cacheability_test.hpp"

namespace millrace::pipeline {
namespace {

using test::Database;
using Oids = std::vector<catalog::Oid>;

class ChangedBy : public testing::Test {
 protected:
  std::optional<Oids> ask(std::string_view text) {
    if (snapshot_ == nullptr) snapshot_ = database_.builder.build();
    return changed_by(*sql::parse(text), *snapshot_, test::path());
  }
  bool lacks_only_relations(std::string_view text) {
    EXPECT_EQ(ask(text), std::nullopt) << text;
    return pipeline::lacks_only_relations(*sql::parse(text), *snapshot_, test::path());
  }
  bool changes_nothing(std::string_view text) {
    ask(text);
    return pipeline::changes_nothing(*sql::parse(text), *snapshot_, test::path());
  }
  void expect_anything(std::initializer_list<std::string_view> texts) {
    for (const auto text : texts) EXPECT_EQ(ask(text), std::nullopt) << text;
  }
  void expect(std::string_view text, Oids oids) {
    std::ranges::sort(oids);
    EXPECT_EQ(ask(text), oids) << text;
  }

  Database database_;

 private:
  std::shared_ptr<const catalog::Snapshot> snapshot_;
};

TEST_F(ChangedBy, IsTheTargetWithWhatShowsItsRows) {
  const Oids logs = {database_.logs, database_.logs_1};
  expect("INSERT INTO users VALUES (1)", {database_.users});
  expect("INSERT INTO users SELECT id FROM orders WHERE id = 1", {database_.users});
  expect("UPDATE users SET name = lower(name) FROM orders WHERE orders.id = 1", {database_.users});
  expect("DELETE FROM public.users", {database_.users});
  expect("MERGE INTO users USING orders ON users.id = orders.id WHEN MATCHED THEN DELETE", {database_.users});
  expect("COPY users FROM STDIN", {database_.users});
  expect("WITH w AS (DELETE FROM users RETURNING 1) SELECT 1", {database_.users});
  expect("UPDATE logs SET id = 1", logs);
  expect("UPDATE logs_1 SET id = 1", logs);
  expect("WITH w AS (DELETE FROM orders RETURNING id) INSERT INTO users SELECT id FROM w",
         {database_.users, database_.orders});
}

TEST_F(ChangedBy, WhatMayBeRunTwice) {
  for (const auto text :
       {"SELECT * FROM users", "SELECT count(*), now() FROM users WHERE at < current_date AND id IN (1, 2)",
        "WITH w AS (SELECT lower(name) AS n FROM users) SELECT n FROM w, logs", "VALUES (1)",
        "SELECT to_char(at, 'x') FROM users UNION SELECT name FROM users"}) {
    EXPECT_TRUE(changes_nothing(text)) << text;
  }
}

TEST_F(ChangedBy, WhatMayNotBeRunTwice) {
  database_.builder.function("f_volatile", 'v', false);
  database_.builder.function("f_stable", 's', false);
  database_.builder.function("pg_notify", 'v', true);
  database_.view("sneaky", "SELECT f_volatile()");
  database_.view("deeper", "SELECT * FROM sneaky");
  database_.view("chancy", "SELECT random() FROM users");
  database_.view("locks", "SELECT id FROM users FOR UPDATE");
  database_.view("hides", "SELECT current_date FROM (SELECT id FROM users FOR UPDATE) u");
  database_.builder.find(database_.add("secret", {}))->row_security = true;
  database_.add("far", {}, 'f');
  database_.builder.inherit(database_.add("far_part", {}, 'f'), database_.logs);
  for (const auto text : {"INSERT INTO users VALUES (1)",
                          "UPDATE users SET id = 1",
                          "WITH w AS (DELETE FROM users RETURNING 1) SELECT 1",
                          "SELECT * INTO copy FROM users",
                          "CREATE TABLE copy AS SELECT 1",
                          "SELECT * FROM users FOR UPDATE",
                          "SELECT * FROM users FOR KEY SHARE",
                          "SELECT nextval('s')",
                          "SELECT random()",
                          "SELECT f_volatile()",
                          "SELECT f_stable()",
                          "SELECT pg_notify('a', 'b')",
                          "SELECT pg_advisory_lock(1)",
                          "SELECT set_config('a', 'b', false)",
                          "SELECT lo_create(0)",
                          "SELECT dblink('a', 'b')",
                          "SELECT query_to_xml('SELECT 1', true, true, '')",
                          "SELECT table_to_xml('users', true, true, '')",
                          "SELECT * FROM sneaky",
                          "SELECT * FROM deeper",
                          "SELECT (SELECT count(*) FROM deeper)",
                          "SELECT * FROM chancy",
                          "SELECT * FROM locks",
                          "SELECT * FROM hides",
                          "SELECT * FROM secret",
                          "SELECT * FROM far",
                          "SELECT * FROM logs",
                          "SELECT * FROM unknown",
                          "SELECT 1; SELECT 2",
                          "EXPLAIN ANALYZE DELETE FROM users",
                          "SET a = 1",
                          "SHOW a",
                          "LOCK users",
                          "CALL p()",
                          "DO 'x'",
                          "NOTIFY a",
                          "EXECUTE x",
                          "DECLARE c CURSOR FOR SELECT 1",
                          "COPY users TO STDOUT",
                          "",
                          "SELEC"}) {
    EXPECT_FALSE(changes_nothing(text)) << text;
  }
}

TEST_F(ChangedBy, ForeignKeysLetOthersFollow) {
  database_.builder.cascade(database_.users, database_.orders);
  expect("DELETE FROM users", {database_.users, database_.orders});
  expect("DELETE FROM orders", {database_.orders});
}

TEST_F(ChangedBy, ClockAndChanceChangeNoRows) {
  expect("UPDATE users SET at = now(), id = random() WHERE at < current_timestamp", {database_.users});
  expect("INSERT INTO users VALUES (nextval('s'), gen_random_uuid(), DEFAULT)", {database_.users});
}

TEST_F(ChangedBy, OnlyRelationsThatAreReadMayBecomeKnown) {
  EXPECT_TRUE(lacks_only_relations("SELECT * FROM just_made"));
  EXPECT_TRUE(lacks_only_relations("SELECT lower(name) FROM users, just_made"));
  EXPECT_FALSE(lacks_only_relations("SELECT nobodys(id) FROM just_made"));
  EXPECT_FALSE(lacks_only_relations("SELECT nobodys(id) FROM users"));
  EXPECT_FALSE(lacks_only_relations("INSERT INTO just_made VALUES (1)"));
  EXPECT_FALSE(lacks_only_relations("INSERT INTO users SELECT id FROM just_made"));
  EXPECT_FALSE(lacks_only_relations("DO 'BEGIN END'"));
}

TEST_F(ChangedBy, NothingByWhatOnlyReads) {
  for (const auto* text : {"SELECT 1", "SELECT lower(name), now(), random() FROM users", "COPY users TO STDOUT",
                           "BEGIN; SELECT 1; COMMIT", "SELECT random(); CLOSE ALL; UNLISTEN *; RESET ALL"}) {
    expect(text, {});
  }
}

TEST_F(ChangedBy, TheTargetsOfSeveralStatements) {
  expect("BEGIN; DELETE FROM users; UPDATE orders SET id = 1; COMMIT", {database_.users, database_.orders});
  expect_anything({"DELETE FROM users; SET search_path = other; DELETE FROM users", "SELECT 1; CREATE TABLE t ()",
                   "SET search_path = other; SELECT * FROM users", "DELETE FROM users; CALL p()"});
}

TEST_F(ChangedBy, AnythingWhereItIsNotAKnownWrite) {
  expect_anything({"", "SELEC", "TRUNCATE users", "CREATE TABLE t ()", "CALL p()", "BEGIN", "SELECT 1 INTO t", "DO 'x'",
                   "EXPLAIN ANALYZE DELETE FROM users", "DELETE FROM users WHERE CURRENT OF c", "COPY users FROM '/f'",
                   "UPDATE users SET at = current_timestamp WHERE CURRENT OF c"});
}

TEST_F(ChangedBy, AnythingWhereATargetDoesMore) {
  database_.view("v", "SELECT 1");
  database_.builder.find(database_.add("triggered", {}))->has_triggers = true;
  database_.builder.find(database_.add("ruled", {}))->has_rules = true;
  database_.builder.find(database_.add("secret", {}))->row_security = true;
  database_.builder.type({.oid = 100'003, .schema = "public", .name = "email", .kind = 'd', .category = 'S'});
  database_.add("emails", {{"e", 100'003}});
  database_.builder.cascade(database_.logs, database_.builder.table("public", "plain"));
  expect_anything({"DELETE FROM v", "DELETE FROM triggered", "DELETE FROM ruled", "DELETE FROM secret",
                   "INSERT INTO emails VALUES ('x')", "DELETE FROM nothing", "DELETE FROM pg_catalog.pg_class",
                   "WITH w AS (DELETE FROM triggered) DELETE FROM users"});
}

TEST_F(ChangedBy, AnythingWhereSomethingElseIsCalled) {
  database_.builder.function("mine", 'v', false);
  database_.builder.function("mine_stable", 's', false);
  database_.builder.function("full_name", 'i', false, true);
  database_.builder.function("now", 'v', false);
  database_.builder.operator_("@!", 'v', false);
  database_.builder.type({.oid = 100'003, .schema = "public", .name = "email", .kind = 'd', .category = 'S'});
  database_.view("calling", "SELECT mine()");
  database_.view("fine", "SELECT * FROM public.orders");
  database_.builder.find(database_.add("secret", {}))->row_security = true;
  database_.add("far", {}, 'f');
  expect_anything({"UPDATE users SET id = mine()", "UPDATE users SET id = mine_stable()",
                   "UPDATE users SET id = nobodys()", "UPDATE users SET at = now()",
                   "UPDATE users SET name = query_to_xml('x', true, true, '')", "UPDATE users SET id = 1 @! 2",
                   "UPDATE users SET id = 1 <-> 2", "UPDATE users SET name = 'x'::email",
                   "UPDATE users u SET name = u.full_name", "INSERT INTO users SELECT * FROM calling",
                   "INSERT INTO users SELECT * FROM secret", "INSERT INTO users SELECT * FROM far",
                   "INSERT INTO users SELECT * FROM nothing", "DELETE FROM users RETURNING mine()"});
  expect("INSERT INTO users SELECT * FROM fine", {database_.users});
}

TEST_F(ChangedBy, AnythingWhereCastsMayCall) {
  database_.builder.set_unsafe_casts(true);
  expect_anything({"DELETE FROM users"});
}

}  // namespace
}  // namespace millrace::pipeline
