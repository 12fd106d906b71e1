#include "catalog/calls_only_built_in.hpp"

#include <gtest/gtest.h>

#include "catalog/snapshot_builder.hpp"

namespace millrace::catalog {
namespace {

class CallsOnlyBuiltIn : public testing::Test {
 protected:
  CallsOnlyBuiltIn() {
    for (const auto* name : {"lower", "now", "count"}) builder_.function(name, 's', true);
    for (const auto* name : {"=", ">"}) builder_.operator_(name, 'i', true);
    builder_.function("mine", 'i', false);
    builder_.function("both", 'i', true);
    builder_.function("both", 'i', false);
    builder_.function("of_row", 'i', false, true);
    builder_.operator_("~~~", 'i', false);
    builder_.type({.oid = 23, .schema = "pg_catalog", .name = "int4", .category = 'N', .built_in = true});
    builder_.type({.oid = 20000, .schema = "public", .name = "odd", .category = 'U'});
    builder_.type({.oid = 20001, .schema = "public", .name = "mood", .kind = 'e', .category = 'E'});
    builder_.add(relation("t", {{"id", 23}, {"mood", 20001}}));
    builder_.add(relation("odd_ones", {{"id", 20000}}));
    auto closed = relation("closed", {{"id", 23}});
    closed.row_security = true;
    builder_.add(std::move(closed));
    builder_.inherit(builder_.add(relation("part", {{"id", 20000}})),
                     builder_.add(relation("whole", {{"id", 23}}, 'p')));
    view("seen", "SELECT id FROM public.t WHERE lower('a') = 'a'");
    view("calls", "SELECT id FROM public.t WHERE mine()");
  }

  bool operator()(std::string_view sql) {
    if (!snapshot_) snapshot_ = builder_.build();
    return calls_only_built_in(*sql::parse(sql), *snapshot_, std::vector<std::string>{"public"});
  }
  void with_own_casts() { builder_.set_own_casts(true); }

 private:
  static Relation relation(std::string name, std::vector<std::pair<std::string, Oid>> columns, char kind = 'r') {
    Relation made;
    made.schema = "public";
    made.name = std::move(name);
    made.kind = kind;
    for (auto& [column, type] : columns) made.columns.push_back({.name = column, .type = type});
    return made;
  }
  void view(std::string name, std::string_view text) {
    builder_.view("public", std::move(name), *sql::parse(text)->references);
  }

  SnapshotBuilder builder_;
  std::shared_ptr<const Snapshot> snapshot_;
};

TEST_F(CallsOnlyBuiltIn, WhatCallsNothingElse) {
  for (const auto* sql :
       {"SELECT count(*) FROM t WHERE id = 1 AND now() > now()", "UPDATE t SET id = 2 WHERE lower('A') = 'a'",
        "DELETE FROM t WHERE mood = 'good'", "WITH w AS (SELECT id FROM t) SELECT id::int4 FROM w",
        "SELECT id FROM seen", "SELECT current_timestamp"})
    EXPECT_TRUE((*this)(sql)) << sql;
}

TEST_F(CallsOnlyBuiltIn, WhatMayCallUsers) {
  for (const auto* sql :
       {"SELECT mine()", "SELECT both(1)", "SELECT unknown()", "SELECT id FROM t WHERE id ~~~ 1", "SELECT '1'::odd",
        "SELECT t.of_row FROM t", "SELECT id FROM odd_ones", "SELECT id FROM closed", "SELECT id FROM whole",
        "SELECT id FROM calls", "SELECT id FROM nowhere", "INSERT INTO t VALUES (1)", "SELECT 1; SELECT mine()",
        "SELEC", "EXPLAIN SELECT 1"})
    EXPECT_FALSE((*this)(sql)) << sql;
}

TEST_F(CallsOnlyBuiltIn, CastsOfUsersMayBeCalledUnseen) {
  with_own_casts();
  EXPECT_FALSE((*this)("SELECT id FROM t"));
}

}  // namespace
}  // namespace millrace::catalog
