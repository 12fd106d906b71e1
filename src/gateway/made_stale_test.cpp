#include "gateway/made_stale.hpp"

#include <gtest/gtest.h>

#include <set>

#include "catalog/snapshot_builder.hpp"
#include "pgwire/protocol/reader.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::gateway {
namespace {

using catalog::Oid;
using integration::Change;
using integration::pgoutput::OldRow;
using integration::pgoutput::ValueKind;
using pipeline::ReadCache;
using Names = std::set<std::string>;

constexpr std::string_view null = "NULL", unchanged = "UNCHANGED";

integration::Row row(std::initializer_list<std::string_view> values) {
  integration::pgoutput::Tuple tuple;
  for (const auto value : values) {
    if (value == null) {
      tuple.push_back({.kind = ValueKind::null});
    } else if (value == unchanged) {
      tuple.push_back({.kind = ValueKind::unchanged});
    } else {
      tuple.push_back({.kind = ValueKind::text, .data = pgwire::as_bytes(value)});
    }
  }
  return integration::Row(tuple);
}

/// people (id, team, note): `id` is its identity, unless that is the whole row.
class MadeStaleTest : public testing::Test {
 protected:
  static constexpr Oid int4 = 23, text = 25;

  MadeStaleTest() {
    people_ = add("people");
    tracked_.add("app", people_, "id");
    tracked_.add("app", people_, "team");
  }

  Oid add(std::string name) {
    catalog::Relation relation;
    relation.schema = "public";
    relation.name = std::move(name);
    relation.columns = {{.name = "id", .type = int4}, {.name = "team", .type = int4}, {.name = "note", .type = text}};
    return builder_.add(std::move(relation));
  }

  std::shared_ptr<integration::Table> told(Oid oid, char identity = 'd') {
    const bool full = identity == 'f';
    auto table = std::make_shared<integration::Table>();
    table->oid = oid;
    table->replica_identity = identity;
    table->columns = {{.name = "id", .type = int4, .in_identity = true},
                      {.name = "team", .type = int4, .in_identity = full},
                      {.name = "note", .type = text, .in_identity = full}};
    return table;
  }

  static integration::Transaction of(std::vector<Change> changes) {
    integration::Transaction done;
    for (const auto& change : changes) done.tables.push_back(change.table->oid);
    std::ranges::sort(done.tables);
    const auto twice = std::ranges::unique(done.tables);
    done.tables.erase(twice.begin(), twice.end());
    done.changes = std::move(changes);
    return done;
  }

  Change insert(integration::Row row, Oid oid = 0) {
    return {
        .kind = Change::Kind::insert, .table = told(oid == 0 ? people_ : oid), .old_row = {}, .row = std::move(row)};
  }
  Change update(char identity, OldRow old_kind, integration::Row old_row, integration::Row row) {
    return {.kind = Change::Kind::update,
            .table = told(people_, identity),
            .old_kind = old_kind,
            .old_row = std::move(old_row),
            .row = std::move(row)};
  }
  Change deleted(char identity, OldRow old_kind, integration::Row old_row) {
    return {.kind = Change::Kind::delete_,
            .table = told(people_, identity),
            .old_kind = old_kind,
            .old_row = std::move(old_row),
            .row = {}};
  }

  /// Of all that the test may name, what is stale: "table", "rows", "team?", "team=1".
  Names stale(const integration::Transaction& done, Oid of = 0, bool known = true) {
    if (!snapshot_) snapshot_ = builder_.build();
    if (of == 0) of = people_;
    const auto all = made_stale_by(done, "app", known ? snapshot_.get() : nullptr, tracked_, row_values_);
    Names names;
    const auto look = [&](cache::Dependency dependency, std::string name) {
      if (std::ranges::find(all, dependency) != all.end()) names.insert(std::move(name));
    };
    look(ReadCache::of_everything("app"), "everything");
    look(ReadCache::of_table("app", of), "table");
    look(ReadCache::of_unknown_rows("app", of), "rows");
    for (const std::string column : {"id", "team", "note", "gone"}) {
      look(ReadCache::of_unknown_values("app", of, column), column + "?");
      for (const std::string value : {"", "1", "2", "3", "4", "x", "NULL"}) {
        look(ReadCache::of_value("app", of, column, value), std::string(column).append("=").append(value));
      }
    }
    return names;
  }

  catalog::SnapshotBuilder builder_;
  std::shared_ptr<const catalog::Snapshot> snapshot_;
  pipeline::TrackedColumns tracked_;
  integration::RowValues row_values_{100};
  Oid people_;
};

TEST_F(MadeStaleTest, Inserted) {
  EXPECT_EQ(stale(of({insert(row({"1", "2", "x"}))})), (Names{"table", "id=1", "team=2"}));
  EXPECT_EQ(stale(of({insert(row({"1", null, "x"}))})), (Names{"table", "id=1"}));
  EXPECT_EQ(stale(of({insert(row({"1", "2", "x"})), insert(row({"3", "2", "x"}))})),
            (Names{"table", "id=1", "id=3", "team=2"}));
}

TEST_F(MadeStaleTest, UpdatedWithoutTheOldRow) {
  EXPECT_EQ(stale(of({update('d', OldRow::none, {}, row({"1", "2", unchanged}))})), (Names{"table", "id=1", "team?"}));
  // It would be told.
  EXPECT_EQ(stale(of({update('f', OldRow::none, {}, row({"1", "2", "x"}))})), (Names{"table", "id?", "team?"}));
}

TEST_F(MadeStaleTest, UpdatedWithoutTheOldRowWhichIsKnown) {
  EXPECT_EQ(stale(of({update('d', OldRow::none, {}, row({"1", "2", "x"}))})), (Names{"table", "id=1", "team?"}));
  auto load = row_values_.next_load();
  ASSERT_TRUE(load);
  EXPECT_EQ(load->table, people_);
  EXPECT_EQ(load->key, std::vector<std::string>{"id"});
  EXPECT_EQ(load->column, "team");
  load->add({"1", "2"});
  load->add({"3", "4"});
  load->add({"4", std::nullopt});
  EXPECT_TRUE(row_values_.take(*load, 100));
  EXPECT_EQ(stale(of({update('d', OldRow::none, {}, row({"1", "3", "x"}))})),
            (Names{"table", "id=1", "team=2", "team=3"}));
  EXPECT_EQ(stale(of({update('d', OldRow::none, {}, row({"1", "3", "y"}))})), (Names{"table", "id=1", "team=3"}));
  EXPECT_EQ(stale(of({update('d', OldRow::none, {}, row({"4", "1", "y"}))})), (Names{"table", "id=4", "team=1"}));
  EXPECT_EQ(stale(of({update('d', OldRow::key, row({"1", null, null}), row({"2", "1", "y"}))})),
            (Names{"table", "id=1", "id=2", "team=3", "team=1"}));
  EXPECT_EQ(stale(of({deleted('d', OldRow::key, row({"3", null, null}))})), (Names{"table", "id=3", "team=4"}));
  EXPECT_EQ(stale(of({deleted('d', OldRow::key, row({"3", null, null}))})), (Names{"table", "id=3", "team?"}));
  // What of it changes without being told by row is to be read again.
  auto done = of({});
  done.tables = {people_};
  EXPECT_EQ(stale(done), (Names{"table", "rows"}));
  EXPECT_EQ(stale(of({update('d', OldRow::none, {}, row({"2", "2", "y"}))})), (Names{"table", "id=2", "team?"}));
}

TEST_F(MadeStaleTest, UpdatedWithTheOldKey) {
  EXPECT_EQ(stale(of({update('d', OldRow::key, row({"1", null, null}), row({"3", "2", "x"}))})),
            (Names{"table", "id=1", "id=3", "team?"}));
}

TEST_F(MadeStaleTest, UpdatedWithTheOldRow) {
  EXPECT_EQ(stale(of({update('f', OldRow::full, row({"1", "2", "x"}), row({"1", "3", "x"}))})),
            (Names{"table", "id=1", "team=2", "team=3"}));
  EXPECT_EQ(stale(of({update('f', OldRow::full, row({"1", null, "x"}), row({"1", "3", "x"}))})),
            (Names{"table", "id=1", "team=3"}));
  EXPECT_EQ(stale(of({update('f', OldRow::full, row({"1", "2", "x"}), row({"1", unchanged, "x"}))})),
            (Names{"table", "id=1", "team=2"}));
}

TEST_F(MadeStaleTest, ALargeValueThatStays) {
  EXPECT_EQ(stale(of({update('d', OldRow::none, {}, row({unchanged, "2", "x"}))})), (Names{"table", "id?", "team?"}));
}

TEST_F(MadeStaleTest, Deleted) {
  EXPECT_EQ(stale(of({deleted('d', OldRow::key, row({"1", null, null}))})), (Names{"table", "id=1", "team?"}));
  EXPECT_EQ(stale(of({deleted('f', OldRow::full, row({"1", null, "x"}))})), (Names{"table", "id=1"}));
}

TEST_F(MadeStaleTest, WithoutKnowingTheRows) {
  const Names whole = {"table", "rows"};
  auto done = of({insert(row({"1", "2", "x"}))});
  done.truncated = done.tables;
  auto found = stale(done);
  EXPECT_TRUE(std::ranges::includes(found, whole));

  done = of({insert(row({"1", "2", "x"}))});
  done.changes.clear();
  EXPECT_EQ(stale(done), whole);
  done.all_changes = false;
  EXPECT_EQ(stale(done), whole);

  EXPECT_EQ(stale(of({insert(row({"1", "2", "x"}))}), 0, false), whole);

  done.everything = true;
  EXPECT_EQ(stale(done), Names{"everything"});
}

TEST_F(MadeStaleTest, AColumnThatIsntTold) {
  tracked_.add("app", people_, "gone");
  EXPECT_EQ(stale(of({insert(row({"1", "2", "x"}))})), (Names{"table", "id=1", "team=2", "gone?"}));
  EXPECT_EQ(stale(of({insert(row({"1"}))})), (Names{"table", "id=1", "team?", "gone?"}));
}

TEST_F(MadeStaleTest, ATableThatIsOtherThanTheCatalogSays) {
  auto change = insert(row({"1", "2", "x"}));
  auto other = std::make_shared<integration::Table>(*change.table);
  std::swap(other->columns[0].name, other->columns[1].name);
  change.table = other;
  EXPECT_EQ(stale(of({change})), (Names{"table", "rows"}));

  // Without a generated column in between it is as it was.
  other->columns = {told(people_)->columns[0], told(people_)->columns[2]};
  change.row = row({"1", "x"});
  EXPECT_EQ(stale(of({change})), (Names{"table", "id=1", "team?"}));
}

TEST_F(MadeStaleTest, TablesAbove) {
  const Oid part = add("part"), below = add("below");
  builder_.inherit(part, people_);
  builder_.inherit(below, part);
  tracked_.add("app", below, "note");
  const auto done = of({insert(row({"1", "2", "x"}), below)});
  EXPECT_EQ(stale(done), (Names{"table", "id=1", "team=2"}));
  EXPECT_EQ(stale(done, part), Names{"table"});
  EXPECT_EQ(stale(done, below), (Names{"table", "note=x"}));
  EXPECT_EQ(stale(of({insert(row({"1", "2", "x"}))}), below), Names{});
}

TEST_F(MadeStaleTest, VeryManyValuesAreToldAsUnknown) {
  std::vector<Change> changes;
  const auto table = told(people_);
  for (int i = 0; i < 5000; ++i) {
    changes.push_back(insert(row({std::to_string(i), "2", "x"})));
    changes.back().table = table;
  }
  const auto done = of(std::move(changes));
  EXPECT_EQ(stale(done), (Names{"table", "id?", "team=2"}));
}

TEST_F(MadeStaleTest, WrittenInTheCatalogs) {
  catalog::SnapshotBuilder builder;
  for (const auto& [oid, kind] : {std::pair{1U, 'r'}, {2U, 'p'}, {3U, 'v'}, {4U, 'r'}}) {
    catalog::Relation relation;
    relation.oid = oid;
    relation.name = std::to_string(oid);
    relation.kind = kind;
    builder.add(std::move(relation));
  }
  builder.inherit(1, 2);
  const auto known = builder.build();
  const auto changed = [&](std::vector<Oid> relations) { return changed_by_written(relations, *known); };
  EXPECT_EQ(changed({1}).tables, (std::vector<Oid>{1, 2}));
  EXPECT_FALSE(changed({1, 4}).everything);
  EXPECT_TRUE(changed({4, 3}).everything);
  EXPECT_TRUE(changed({5}).everything);
}

}  // namespace
}  // namespace millrace::gateway
