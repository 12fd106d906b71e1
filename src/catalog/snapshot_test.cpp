#include "catalog/snapshot.hpp"

#include <gtest/gtest.h>

#include "catalog/snapshot_builder.hpp"

using namespace millrace;
using namespace millrace::catalog;

namespace {

using Oids = std::vector<Oid>;
using Path = std::vector<std::string>;

Oids sorted(Oids oids) {
  std::ranges::sort(oids);
  return oids;
}

Oid oid_of(const Relation* relation) { return relation != nullptr ? relation->oid : 0; }

TEST(Snapshot, FindsByNameAndOid) {
  SnapshotBuilder builder;
  const Oid orders = builder.table("public", "orders", {"id", "total"});
  const Oid quoted = builder.table("My Schema", "Or\"ders.x", {"a"});
  const auto snapshot = builder.build();
  EXPECT_EQ(oid_of(snapshot->find("public", "orders")), orders);
  EXPECT_EQ(oid_of(snapshot->find("My Schema", "Or\"ders.x")), quoted);
  EXPECT_EQ(snapshot->find("my schema", "Or\"ders.x"), nullptr);
  EXPECT_EQ(snapshot->find("public", "Orders"), nullptr);
  EXPECT_EQ(snapshot->find("", "orders"), nullptr);
  ASSERT_NE(snapshot->find(orders), nullptr);
  EXPECT_EQ(snapshot->find(orders)->columns[1].name, "total");
  EXPECT_EQ(snapshot->find(orders + 1000), nullptr);
  EXPECT_TRUE(snapshot->has_schema("My Schema"));
  EXPECT_FALSE(snapshot->has_schema("other"));
}

TEST(Snapshot, ResolvesBySearchPath) {
  SnapshotBuilder builder;
  const Oid in_a = builder.table("a", "t");
  const Oid in_b = builder.table("b", "t");
  const Oid only_b = builder.table("b", "u");
  const Oid pg_class = builder.table("pg_catalog", "pg_class");
  const Oid shadow = builder.table("b", "pg_class");
  const auto snapshot = builder.build();
  EXPECT_EQ(oid_of(snapshot->resolve({"", "t"}, Path{"a", "b"})), in_a);
  EXPECT_EQ(oid_of(snapshot->resolve({"", "t"}, Path{"b", "a"})), in_b);
  EXPECT_EQ(oid_of(snapshot->resolve({"", "u"}, Path{"nowhere", "a", "b"})), only_b);
  EXPECT_EQ(oid_of(snapshot->resolve({"b", "t"}, Path{"a"})), in_b);
  EXPECT_EQ(snapshot->resolve({"", "t"}, Path{}), nullptr);
  EXPECT_EQ(snapshot->resolve({"", "t"}, Path{"c"}), nullptr);
  EXPECT_EQ(snapshot->resolve({"a", "u"}, Path{"b"}), nullptr);
  EXPECT_EQ(oid_of(snapshot->resolve({"", "pg_class"}, Path{"b"})), pg_class);
  EXPECT_EQ(oid_of(snapshot->resolve({"", "pg_class"}, Path{"b", "pg_catalog"})), shadow);
}

TEST(Snapshot, ResolvesNothingWhereItDependsOnPrivileges) {
  SnapshotBuilder builder;
  builder.schema("closed", false);
  builder.schema("open");
  builder.table("closed", "t");
  builder.table("open", "t");
  const Oid alone = builder.table("closed", "alone");
  const auto snapshot = builder.build();
  EXPECT_EQ(snapshot->resolve({"", "t"}, Path{"closed", "open"}), nullptr);
  EXPECT_EQ(oid_of(snapshot->resolve({"", "t"}, Path{"open", "closed"})), oid_of(snapshot->find("open", "t")));
  EXPECT_EQ(oid_of(snapshot->resolve({"", "t"}, Path{"closed"})), oid_of(snapshot->find("closed", "t")));
  EXPECT_EQ(oid_of(snapshot->resolve({"", "t"}, Path{"closed", "closed"})), oid_of(snapshot->find("closed", "t")));
  EXPECT_EQ(oid_of(snapshot->resolve({"", "alone"}, Path{"closed", "open"})), alone);
}

TEST(Snapshot, FunctionsOfANameAreTheWorst) {
  SnapshotBuilder builder;
  builder.function("f", 'i', true);
  builder.function("g", 'i', true);
  builder.function("g", 's', false, true);
  builder.function("g", 'i', false);
  builder.function("now", 's', true);
  builder.operator_("=", 'i', true);
  builder.operator_("=", 'v', false);
  const auto snapshot = builder.build();
  ASSERT_NE(snapshot->functions("f"), nullptr);
  EXPECT_TRUE(snapshot->functions("f")->all_immutable_or_built_in);
  EXPECT_TRUE(snapshot->functions("f")->built_in);
  const auto* g = snapshot->functions("g");
  ASSERT_NE(g, nullptr);
  EXPECT_EQ(g->volatility, 's');
  EXPECT_FALSE(g->built_in);
  EXPECT_FALSE(g->all_immutable_or_built_in);
  EXPECT_TRUE(g->of_rows);
  EXPECT_TRUE(snapshot->functions("now")->all_immutable_or_built_in);
  EXPECT_EQ(snapshot->functions("h"), nullptr);
  EXPECT_EQ(snapshot->operators("=")->volatility, 'v');
  EXPECT_FALSE(snapshot->operators("=")->all_immutable_or_built_in);
  EXPECT_EQ(snapshot->operators("f"), nullptr);
}

TEST(Snapshot, TypesOfANameAreOfAllSchemas) {
  SnapshotBuilder builder;
  builder.type({.oid = 23, .schema = "pg_catalog", .name = "int4", .built_in = true});
  builder.type({.oid = 20002, .schema = "b", .name = "mood", .kind = 'e'});
  builder.type({.oid = 20001, .schema = "a", .name = "mood", .kind = 'd'});
  const auto snapshot = builder.build();
  ASSERT_EQ(snapshot->types("mood").size(), 2);
  EXPECT_EQ(snapshot->types("mood")[0].schema, "a");
  EXPECT_EQ(snapshot->types("mood")[1].schema, "b");
  EXPECT_TRUE(snapshot->types("Mood").empty());
  ASSERT_NE(snapshot->type(20002), nullptr);
  EXPECT_EQ(snapshot->type(20002)->kind, 'e');
  EXPECT_TRUE(snapshot->type(23)->built_in);
  EXPECT_EQ(snapshot->type(1), nullptr);
}

TEST(Snapshot, DefaultsOfRolesThatAreKnown) {
  SnapshotBuilder builder;
  builder.role("app", {.search_path = "\"$user\", public", .isolation = "serializable"});
  const auto snapshot = builder.build();
  ASSERT_TRUE(snapshot->defaults("app"));
  EXPECT_EQ(snapshot->defaults("app")->search_path, "\"$user\", public");
  EXPECT_FALSE(snapshot->defaults("other"));
}

/// A partitioned table with two partitions, one of which is partitioned again.
struct Tree {
  SnapshotBuilder builder;
  Oid root = add("root", 'p');
  Oid left = add("left");
  Oid right = add("right", 'p');
  Oid leaf = add("leaf");
  Oid other = add("other");

  Tree() {
    builder.inherit(left, root);
    builder.inherit(right, root);
    builder.inherit(leaf, right);
  }
  Oid add(std::string name, char kind = 'r') {
    const Oid oid = builder.table("public", std::move(name));
    builder.find(oid)->kind = kind;
    return oid;
  }
};

TEST(Snapshot, WhatIsReadIsBelow) {
  Tree tree;
  const auto snapshot = tree.builder.build();
  EXPECT_EQ(snapshot->read_with(tree.root), sorted({tree.root, tree.left, tree.right, tree.leaf}));
  EXPECT_EQ(snapshot->read_with(tree.right), sorted({tree.right, tree.leaf}));
  EXPECT_EQ(snapshot->read_with(tree.leaf), Oids{tree.leaf});
}

TEST(Snapshot, WhatChangesIsBelowAndAbove) {
  Tree tree;
  const auto snapshot = tree.builder.build();
  EXPECT_EQ(snapshot->changed_with(tree.root), sorted({tree.root, tree.left, tree.right, tree.leaf}));
  EXPECT_EQ(snapshot->changed_with(tree.leaf), sorted({tree.root, tree.right, tree.leaf}));
  EXPECT_EQ(snapshot->changed_with(tree.left), sorted({tree.root, tree.left}));
  EXPECT_EQ(snapshot->changed_with(tree.other), Oids{tree.other});
}

TEST(Snapshot, AChangeShowsInEveryParentOfAChild) {
  SnapshotBuilder builder;
  const Oid a = builder.table("public", "a");
  const Oid b = builder.table("public", "b");
  const Oid both = builder.table("public", "both");
  builder.inherit(both, a);
  builder.inherit(both, b);
  const auto snapshot = builder.build();
  EXPECT_EQ(snapshot->changed_with(a), sorted({a, b, both}));
}

TEST(Snapshot, ForeignKeysLetRowsFollow) {
  Tree tree;
  const Oid second = tree.add("second");
  const Oid apart = tree.add("apart");
  tree.builder.cascade(tree.other, tree.leaf);
  tree.builder.cascade(tree.leaf, second);
  tree.builder.cascade(second, tree.other);  // a ring
  const auto snapshot = tree.builder.build();
  EXPECT_EQ(snapshot->changed_with(tree.other), sorted({tree.other, tree.leaf, tree.right, tree.root, second}));
  EXPECT_EQ(snapshot->changed_with(apart), Oids{apart});
}

TEST(Snapshot, AKeyOfThePartitionedTableIsAKeyOfItsPartitions) {
  Tree tree;
  tree.builder.cascade(tree.root, tree.other);
  const auto snapshot = tree.builder.build();
  EXPECT_EQ(snapshot->changed_with(tree.leaf), sorted({tree.leaf, tree.right, tree.root, tree.other}));
}

TEST(Snapshot, TriggersAndRulesMayChangeAnything) {
  for (const bool rule : {false, true}) {
    Tree tree;
    tree.builder.cascade(tree.other, tree.leaf);
    auto* leaf = tree.builder.find(tree.leaf);
    (rule ? leaf->has_rules : leaf->has_triggers) = true;
    const auto snapshot = tree.builder.build();
    EXPECT_FALSE(snapshot->changed_with(tree.leaf));
    EXPECT_FALSE(snapshot->changed_with(tree.root));
    EXPECT_FALSE(snapshot->changed_with(tree.other));
    EXPECT_TRUE(snapshot->changed_with(tree.left));
  }
}

TEST(Snapshot, WhatIsNoTableMayChangeAnything) {
  SnapshotBuilder builder;
  const Oid view = builder.view("public", "v", {});
  const Oid foreign = builder.table("public", "f");
  builder.find(foreign)->kind = 'f';
  const auto snapshot = builder.build();
  EXPECT_FALSE(snapshot->changed_with(view));
  EXPECT_FALSE(snapshot->changed_with(foreign));
  EXPECT_FALSE(snapshot->changed_with(1));
  EXPECT_NE(snapshot->find(view)->definition, nullptr);
}

}  // namespace
