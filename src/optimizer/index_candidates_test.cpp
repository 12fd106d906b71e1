#include "optimizer/index_candidates.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "catalog/snapshot_builder.hpp"

namespace millrace::optimizer {
namespace {

using Names = std::set<std::string>;

class IndexCandidates : public testing::Test {
 protected:
  IndexCandidates() {
    for (const char* name : {"lower", "upper"}) builder_.function(name, 'i', true);
    for (const char* name : {"now", "date_trunc"}) builder_.function(name, 's', true);
    for (const char* name : {"count", "min", "max"}) builder_.function(name, 'i', true);
    for (const char* name : {"=", "<>", "<", ">", "<=", ">=", "~~", "->>"}) builder_.operator_(name, 'i', true);
    add("users", {{"id", 23}, {"email", 25}, {"plan", 25}, {"active", 16}, {"deleted_at", 1184}, {"config", 114}},
        {{"id"}, {"email"}});
    add("orders", {{"id", 23}, {"user_id", 23}, {"status", 25}, {"total", 23}, {"created_at", 1184}, {"note", 25}},
        {{"id"}});
    add("Odd \"name\"", {{"se lect", 23}, {"b", 23}}, {});
    add("logs", {{"id", 23}, {"at", 1184}}, {}, 'p');
  }

  void add(std::string name, std::vector<std::pair<std::string, catalog::Oid>> columns,
           std::vector<std::vector<std::string>> keys, char kind = 'r') {
    catalog::Relation relation;
    relation.schema = "public";
    relation.name = std::move(name);
    relation.kind = kind;
    relation.keys = std::move(keys);
    for (auto& [column, type] : columns) relation.columns.push_back({.name = column, .type = type});
    builder_.add(std::move(relation));
  }

  StatementIndexes of(std::string_view text) {
    if (!snapshot_) snapshot_ = builder_.build();
    auto found = candidates_of(text, *snapshot_, {});
    EXPECT_TRUE(found.has_value()) << text;
    return found ? *std::move(found) : StatementIndexes{};
  }

  Names names(std::string_view text) {
    Names all;
    for (const auto& index : of(text).candidates) EXPECT_TRUE(all.insert(index.name()).second) << index.name();
    return all;
  }

  catalog::SnapshotBuilder builder_;
  std::shared_ptr<const catalog::Snapshot> snapshot_;
};

TEST_F(IndexCandidates, EqualsThenARange) {
  const auto all = names("SELECT note FROM orders WHERE created_at > $1 AND user_id = 7 AND status IN ('a', 'b')");
  for (const char* name :
       {"public.orders (user_id, status, created_at)", "public.orders (status, user_id)", "public.orders (user_id)",
        "public.orders (status)", "public.orders (created_at)", "public.orders (user_id, created_at)",
        "public.orders (user_id, status, created_at) INCLUDE (note)"})
    EXPECT_TRUE(all.contains(name)) << name;
  EXPECT_FALSE(all.contains("public.orders (created_at, user_id)"));
}

TEST_F(IndexCandidates, OrderedByWithItsDirections) {
  EXPECT_TRUE(names("SELECT * FROM orders WHERE user_id = $1 ORDER BY created_at DESC, id LIMIT 20")
                  .contains("public.orders (user_id, created_at DESC, id)"));
  // All the other way round is the same index, read backwards.
  const auto back = names("SELECT * FROM orders ORDER BY created_at DESC, id DESC LIMIT 5");
  EXPECT_TRUE(back.contains("public.orders (created_at, id)"));
  EXPECT_TRUE(names("SELECT * FROM orders ORDER BY created_at DESC NULLS LAST LIMIT 5")
                  .contains("public.orders (created_at DESC NULLS LAST)"));
  EXPECT_TRUE(
      names("SELECT max(created_at) FROM orders WHERE status = 'a'").contains("public.orders (status, created_at)"));
  EXPECT_TRUE(names("SELECT status, count(*) FROM orders WHERE user_id = 1 GROUP BY status ORDER BY status")
                  .contains("public.orders (user_id, status)"));
}

TEST_F(IndexCandidates, JoinsInWhateverWayTheyAreSaid) {
  for (const char* text :
       {"SELECT * FROM users u JOIN orders o ON o.user_id = u.id WHERE o.status = 'x'",
        "SELECT * FROM users u, orders o WHERE o.user_id = u.id AND o.status = 'x'",
        "SELECT * FROM users u LEFT JOIN orders o ON o.user_id = u.id AND o.status = 'x'",
        "SELECT * FROM users u WHERE u.id IN (SELECT user_id FROM orders o WHERE o.status = 'x')",
        "SELECT * FROM users u WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = u.id AND o.status = 'x')"}) {
    const auto all = names(text);
    EXPECT_TRUE(all.contains("public.orders (user_id)")) << text;
    EXPECT_TRUE(all.contains("public.orders (user_id, status)")) << text;
    EXPECT_TRUE(all.contains("public.orders (status, user_id)")) << text;
  }
}

TEST_F(IndexCandidates, ExpressionsThatAreImmutable) {
  EXPECT_TRUE(names("SELECT * FROM users u WHERE lower(u.plan) = $1").contains("public.users (lower(plan))"));
  EXPECT_TRUE(names("SELECT * FROM users u WHERE u.config ->> 'k' = $1").contains("public.users ((config ->> 'k'))"));
  EXPECT_EQ(names("SELECT * FROM orders WHERE date_trunc('day', created_at) = $1"), Names{});
  EXPECT_EQ(names("SELECT * FROM orders o, users u WHERE lower(o.note || u.plan) = $1"), Names{});
}

TEST_F(IndexCandidates, PartialOnesForBooleansAndNulls) {
  const auto all = names("SELECT * FROM users WHERE plan = 'pro' AND active AND deleted_at IS NULL");
  EXPECT_TRUE(all.contains("public.users (plan) WHERE active"));
  EXPECT_TRUE(all.contains("public.users (plan) WHERE deleted_at IS NULL"));
  EXPECT_TRUE(
      names("SELECT * FROM users WHERE plan = $1 AND NOT active").contains("public.users (plan) WHERE NOT active"));
  EXPECT_TRUE(
      names("SELECT * FROM users WHERE plan = $1 AND active = false").contains("public.users (plan) WHERE NOT active"));
  for (const auto& name : names("SELECT * FROM users WHERE plan = $1 AND active = $2 AND deleted_at IS NOT NULL"))
    EXPECT_FALSE(name.contains("WHERE")) << name;
}

TEST_F(IndexCandidates, ColumnsThatAreOnlyRead) {
  const auto all = names("SELECT note, total FROM orders WHERE status = $1");
  EXPECT_TRUE(all.contains("public.orders (status) INCLUDE (note, total)"));
  EXPECT_TRUE(names("SELECT email FROM users WHERE NOT active AND plan = $1")
                  .contains("public.users (plan) INCLUDE (email) WHERE NOT active"));
  for (const char* text : {"SELECT * FROM orders WHERE status = $1", "SELECT o FROM orders o WHERE status = $1",
                           "SELECT config FROM users WHERE plan = $1"}) {
    for (const auto& name : names(text)) EXPECT_FALSE(name.contains("INCLUDE")) << name;
  }
  // A second index with the primary key's column would find what that one finds.
  for (const auto& name : names("SELECT u.plan FROM orders o JOIN users u ON u.id = o.user_id WHERE o.status = $1"))
    EXPECT_FALSE(name.starts_with("public.users")) << name;
}

TEST_F(IndexCandidates, OfUpdateAndDeleteByTheirConditions) {
  EXPECT_TRUE(names("UPDATE orders SET total = 0 WHERE status = 'x'").contains("public.orders (status)"));
  EXPECT_TRUE(names("DELETE FROM orders o USING users u WHERE u.id = o.user_id AND u.plan = 'x'")
                  .contains("public.orders (user_id)"));
  EXPECT_TRUE(names("INSERT INTO users SELECT * FROM users WHERE plan = 'x'").contains("public.users (plan)"));
  const auto update = of("UPDATE orders SET total = 0, \"note\" = '' WHERE id = 3");
  ASSERT_EQ(update.writes.size(), 1);
  EXPECT_EQ(update.writes[0].table, "orders");
  EXPECT_EQ(update.writes[0].updates, (std::vector<std::string>{"total", "note"}));
}

TEST_F(IndexCandidates, NoneWhereNoneWouldServe) {
  for (const char* text :
       {"SELECT * FROM orders WHERE id = 3 AND status = 'x'",                // one row at most, by its key
        "SELECT * FROM orders", "SELECT * FROM orders WHERE status <> 'x'",  //
        "SELECT * FROM orders WHERE note LIKE '%x'",                         //
        "SELECT * FROM logs WHERE at = now()",                               // partitioned
        "SELECT * FROM users WHERE config IS NULL",                          // json has no order
        "SELECT * FROM users AS u (a, b, c, d) WHERE c = 'x'",               // by other names
        "SELECT * FROM nobody WHERE a = 1", "WITH orders AS (SELECT 1 AS status) SELECT * FROM orders WHERE status = 1",
        "SELECT * FROM orders o, orders p WHERE o.status || p.status = 'x'", "SHOW TimeZone", "SELECT 1; SELECT 2"})
    EXPECT_EQ(names(text), Names{}) << text;
  EXPECT_TRUE(names("SELECT * FROM orders WHERE note LIKE 'x%'").contains("public.orders (note text_pattern_ops)"));
  EXPECT_EQ(candidates_of("SELEC 1", *snapshot_, {}).error().sqlstate, "42601");
}

TEST_F(IndexCandidates, EachSideOfAnOr) {
  EXPECT_EQ(names("SELECT * FROM orders WHERE status = 'x' OR user_id = 3"),
            (Names{"public.orders (status)", "public.orders (user_id)"}));
}

TEST_F(IndexCandidates, NamesThatNeedQuotes) {
  const auto all = of("SELECT * FROM \"Odd \"\"name\"\"\" WHERE \"se lect\" = 1 AND b > 2").candidates;
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(
      all[0].statement(),
      "CREATE INDEX CONCURRENTLY \"idx_Odd \"\"name\"\"_se lect_b\" ON public.\"Odd \"\"name\"\"\" (\"se lect\", b)");
}

TEST_F(IndexCandidates, TheirNumberIsBounded) {
  std::string text = "SELECT * FROM orders o0";
  for (int i = 1; i < 25; ++i) text += ", orders o" + std::to_string(i);
  text += " WHERE true";
  for (int i = 0; i < 25; ++i)
    text += " AND o" + std::to_string(i) + (i % 2 == 0 ? ".status = 'x'" : ".total > 1") + " AND o" +
            std::to_string(i) + ".user_id = 1";
  EXPECT_LE(of(text).candidates.size(), most_candidates);
}

TEST(IndexCandidate, WhatBeginsWithWhat) {
  using Keys = std::vector<std::string>;
  EXPECT_TRUE(begins_with(Keys{"a", "b"}, Keys{"a"}));
  EXPECT_TRUE(begins_with(Keys{"a", "b DESC"}, Keys{"a DESC", "b"}));
  EXPECT_FALSE(begins_with(Keys{"a", "b"}, Keys{"a", "b DESC"}));
  EXPECT_FALSE(begins_with(Keys{"a"}, Keys{"a", "b"}));
  EXPECT_FALSE(begins_with(Keys{"a NULLS FIRST"}, Keys{"a"}));
}

}  // namespace
}  // namespace millrace::optimizer
