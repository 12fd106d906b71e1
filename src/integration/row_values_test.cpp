#include "integration/row_values.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "pgwire/protocol/reader.hpp"

namespace millrace::integration {
namespace {

using pgoutput::OldRow;
using pgoutput::ValueKind;
using Text = std::optional<std::string>;
/// key to value
using Rows = std::map<std::string, Text>;

constexpr Oid int4 = 23, timestamptz = 1184, bytea = 17;
constexpr std::string_view unchanged = "UNCHANGED";

std::shared_ptr<const Table> table_of(Oid key_type = int4, Oid value_type = int4, std::string value_name = "value") {
  auto table = std::make_shared<Table>();
  table->oid = 7;
  table->schema = "public";
  table->name = "t";
  table->columns = {{.name = "id", .type = key_type, .in_identity = true},
                    {.name = std::move(value_name), .type = value_type}};
  return table;
}

Row row(const Text& key, const Text& value) {
  pgoutput::Tuple tuple;
  for (const Text* text : {&key, &value}) {
    if (!*text) {
      tuple.push_back({.kind = ValueKind::null});
    } else if (**text == unchanged) {
      tuple.push_back({.kind = ValueKind::unchanged});
    } else {
      tuple.push_back({.kind = ValueKind::text, .data = pgwire::as_bytes(**text)});
    }
  }
  return Row(tuple);
}

Change insert(const std::shared_ptr<const Table>& table, const Text& key, const Text& value) {
  return {.kind = Change::Kind::insert, .table = table, .old_row = {}, .row = row(key, value)};
}
Change update(const std::shared_ptr<const Table>& table, const Text& key, const Text& value) {
  return {.kind = Change::Kind::update, .table = table, .old_row = {}, .row = row(key, value)};
}
Change moved(const std::shared_ptr<const Table>& table, const Text& from, const Text& key, const Text& value) {
  return {.kind = Change::Kind::update,
          .table = table,
          .old_kind = OldRow::key,
          .old_row = row(from, std::nullopt),
          .row = row(key, value)};
}
Change deleted(const std::shared_ptr<const Table>& table, const Text& key) {
  return {.kind = Change::Kind::delete_,
          .table = table,
          .old_kind = OldRow::key,
          .old_row = row(key, std::nullopt),
          .row = {}};
}

std::optional<RowValues::Value> hashed(const Text& value) {
  return value ? RowValues::value_of(*value) : RowValues::null;
}

Transaction describing(std::shared_ptr<const Table> table) {
  Transaction done;
  done.described.push_back(std::move(table));
  return done;
}

/// What is followed, and was read.
class RowValuesTest : public testing::Test {
 protected:
  void read(const Rows& rows, std::string form = "1") {
    values_.follow(update(table_, "0", "0"), 1);
    auto load = values_.next_load();
    ASSERT_TRUE(load);
    for (const auto& [key, value] : rows) load->add({key, value});
    load->form = std::move(form);
    EXPECT_TRUE(values_.take(*load, 1000));
    EXPECT_EQ(values_.rows(), rows.size());
  }

  std::shared_ptr<const Table> table_ = table_of();
  RowValues values_{100};
};

TEST_F(RowValuesTest, FollowsAKnownRow) {
  read({{"1", "a"}, {"2", std::nullopt}});
  EXPECT_EQ(values_.follow(update(table_, "1", "b"), 1), hashed("a"));
  EXPECT_EQ(values_.follow(update(table_, "1", std::nullopt), 1), hashed("b"));
  EXPECT_EQ(values_.follow(update(table_, "1", "c"), 1), RowValues::null);
  EXPECT_EQ(values_.follow(update(table_, "2", std::string(unchanged)), 1), RowValues::null);
  EXPECT_EQ(values_.follow(moved(table_, "1", "3", "d"), 1), hashed("c"));
  EXPECT_EQ(values_.follow(deleted(table_, "3"), 1), hashed("d"));
  EXPECT_EQ(values_.follow(deleted(table_, "3"), 1), std::nullopt);
  EXPECT_EQ(values_.follow(update(table_, "1", "e"), 1), std::nullopt);
  EXPECT_EQ(values_.follow(update(table_, "1", "f"), 1), hashed("e"));
}

TEST_F(RowValuesTest, AKeyThatIsntAsciiIsNotKnown) {
  read({{"1", "a"}});
  auto load = values_.next_load();
  EXPECT_FALSE(load);
  EXPECT_EQ(values_.follow(insert(table_, "\xc3\xa9", "b"), 1), std::nullopt);
  EXPECT_EQ(values_.follow(update(table_, "\xc3\xa9", "c"), 1), std::nullopt);
  EXPECT_EQ(values_.follow(moved(table_, "1", "\xc3\xa9", "c"), 1), hashed("a"));
  EXPECT_EQ(values_.rows(), 0u);
}

TEST_F(RowValuesTest, WhatCantBeFollowedIsReadAgain) {
  read({{"1", "a"}});
  EXPECT_EQ(values_.follow(update(table_, "9", std::string(unchanged)), 1), std::nullopt);
  EXPECT_EQ(values_.rows(), 0u);
  EXPECT_TRUE(values_.has_work());
  read({{"1", "a"}});
  values_.forget(7);
  EXPECT_EQ(values_.rows(), 0u);
  read({{"1", "a"}});
  values_.keep_only(7, {"value"});
  EXPECT_EQ(values_.rows(), 1u);
  values_.keep_only(7, {"other"});
  EXPECT_EQ(values_.rows(), 0u);
}

TEST_F(RowValuesTest, NothingIsFollowedWhoseTextDependsOnSettingsOrIsToldAnyway) {
  auto full = std::make_shared<Table>(*table_);
  full->replica_identity = 'f';
  auto without_key = std::make_shared<Table>(*table_);
  without_key->columns[0].in_identity = false;
  for (const auto& table : {table_of(timestamptz), table_of(int4, bytea), std::shared_ptr<const Table>(full),
                            std::shared_ptr<const Table>(without_key)}) {
    values_.follow(update(table, "1", "a"), 1);
    values_.follow(update(table, "1", "a"), 0);
    EXPECT_FALSE(values_.has_work());
  }
  values_.follow(insert(table_, "1", "a"), 1);
  EXPECT_FALSE(values_.has_work()) << "nobody lacked anything";
}

TEST_F(RowValuesTest, ATableThatIsDescribedAnewIsDoubted) {
  read({{"1", "a"}}, "file 1");
  values_.described(describing(table_of()));
  EXPECT_EQ(values_.follow(update(table_, "1", "b"), 1), std::nullopt);
  auto check = values_.next_check();
  ASSERT_TRUE(check);
  EXPECT_EQ(check->table, 7u);
  values_.checked(*check, "file 1");
  EXPECT_EQ(values_.follow(update(table_, "1", "c"), 1), hashed("b"));

  // What is described while the answer is under way isn't answered for.
  values_.described(describing(table_of()));
  check = values_.next_check();
  values_.described(describing(table_of()));
  values_.checked(*check, "file 1");
  EXPECT_EQ(values_.follow(update(table_, "1", "d"), 1), std::nullopt);
  check = values_.next_check();
  ASSERT_TRUE(check);
  values_.checked(*check, "file 2");
  EXPECT_EQ(values_.follow(update(table_, "1", "e"), 1), std::nullopt);
  EXPECT_EQ(values_.rows(), 0u);
  EXPECT_FALSE(values_.next_check());
  EXPECT_TRUE(values_.next_load());
}

TEST_F(RowValuesTest, WhatIsInDoubtIsWorkAlsoIfNothingIsToBeRead) {
  read({{"1", "a"}});
  values_.described(describing(table_of()));
  EXPECT_FALSE(values_.next_load());
  ASSERT_TRUE(values_.has_work());
  const auto check = values_.next_check();
  ASSERT_TRUE(check);
  values_.checked(*check, "1");
  EXPECT_FALSE(values_.next_load());
  EXPECT_FALSE(values_.has_work());
  EXPECT_EQ(values_.follow(update(table_, "1", "b"), 1), hashed("a"));
}

TEST_F(RowValuesTest, ATableThatIsAnotherIsForgotten) {
  read({{"1", "a"}});
  const auto other = table_of(int4, int4, "other");
  EXPECT_EQ(values_.follow(update(other, "1", "x"), 1), std::nullopt) << "a column of another name is another";
  values_.described(describing(other));
  EXPECT_EQ(values_.rows(), 0u);
  EXPECT_EQ(values_.follow(update(table_, "1", "b"), 1), std::nullopt);
}

TEST_F(RowValuesTest, AnotherKeyForAWhileIsNoticed) {
  read({{"1", "a"}});
  auto other = std::make_shared<Table>(*table_);
  other->columns[0].modifier = 5;
  EXPECT_EQ(values_.follow(update(other, "1", "b"), 1), std::nullopt);
  EXPECT_EQ(values_.follow(update(table_, "1", "c"), 1), std::nullopt);
}

TEST_F(RowValuesTest, ATableThatIsTooLargeIsLeft) {
  values_.follow(update(table_, "0", "0"), 1);
  auto load = values_.next_load();
  EXPECT_EQ(load->most_rows, 100u);
  for (int i = 0; i < 101; ++i) load->add({std::to_string(i), "a"});
  EXPECT_TRUE(values_.take(*load, 1000));
  EXPECT_EQ(values_.rows(), 0u);
  EXPECT_EQ(values_.follow(update(table_, "1", "b"), 1), std::nullopt);
  EXPECT_FALSE(values_.next_load());
}

TEST_F(RowValuesTest, ALoadThatFailsIsTriedAgainIfThatMayHelp) {
  values_.follow(update(table_, "0", "0"), 1);
  auto load = values_.next_load();
  values_.failed(*load, true);
  load = values_.next_load();
  ASSERT_TRUE(load);
  values_.failed(*load, false);
  EXPECT_FALSE(values_.next_load());
  EXPECT_FALSE(values_.has_work());
  values_.forget(7);
  values_.follow(update(table_, "0", "0"), 1);
  EXPECT_TRUE(values_.next_load()) << "what is forgotten is begun anew";
}

TEST_F(RowValuesTest, WhatWasReadBeforeItWasForgottenIsNotUsed) {
  values_.follow(update(table_, "0", "0"), 1);
  auto load = values_.next_load();
  values_.forget_all();
  load->add({"1", "a"});
  values_.follow(update(table_, "0", "0"), 1);
  EXPECT_TRUE(values_.take(*load, 1000));
  EXPECT_EQ(values_.follow(update(table_, "1", "b"), 1), std::nullopt);
  EXPECT_EQ(values_.rows(), 0u);
}

/// A table whose changes are told some time after they were committed, and which is read in parts, each as it is then:
/// whenever a value is known, it is the one that was.
TEST(RowValuesModel, WhatIsKnownIsTrue) {
  std::uint64_t known = 0, changes = 0;
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return std::uniform_int_distribution(0, n - 1)(random); };
    const auto table = table_of();
    Rows now;
    struct Told {
      Change change;
      std::optional<Text> old;
      bool rewritten = false;
    };
    std::deque<Told> untold;
    RowValues values(1000);
    std::optional<RowValues::Load> load;
    int next_part = 0, file = 1, untold_when_read = 0;
    bool is_rewritten = false;
    std::optional<std::pair<RowValues::Check, int>> check;
    for (int step = 0; step < 400; ++step) {
      const auto key = std::to_string(below(12));
      const Text value = below(5) == 0 ? Text() : std::to_string(below(4));
      switch (below(10)) {
        case 0:
        case 1:
        case 2:
        case 3: {
          const auto old = now.find(key);
          const auto other = std::to_string(below(12));
          if (old == now.end()) {
            untold.push_back({insert(table, key, value), std::nullopt, is_rewritten});
            now[key] = value;
          } else if (below(3) == 0) {
            untold.push_back({deleted(table, key), old->second, is_rewritten});
            now.erase(old);
          } else if (below(3) == 0 && !now.contains(other)) {
            untold.push_back({moved(table, key, other, value), old->second, is_rewritten});
            now.erase(old);
            now[other] = value;
          } else if (below(4) == 0) {
            untold.push_back({update(table, key, old->second ? Text(unchanged) : Text()), old->second, is_rewritten});
          } else {
            untold.push_back({update(table, key, value), old->second, is_rewritten});
            old->second = value;
          }
          is_rewritten = false;
          break;
        }
        case 4:
        case 5:
        case 6: {
          if (untold.empty()) break;
          const auto next = untold.front();
          untold.pop_front();
          if (untold_when_read > 0) --untold_when_read;
          if (next.rewritten) values.described(describing(table_of()));
          const auto found = values.follow(next.change, 1);
          ++changes;
          if (found) {
            ++known;
            ASSERT_TRUE(next.old) << "seed " << seed << " step " << step;
            ASSERT_EQ(found, hashed(*next.old)) << "seed " << seed << " step " << step;
          }
          break;
        }
        case 7:
          if (!load) {
            load = values.next_load();
            next_part = 0;
            if (load) load->form = std::to_string(file);
            break;
          }
          if (next_part < 3) {
            for (const auto& [one, of] : now) {
              if (std::stoi(one) / 4 == next_part) load->add({one, of});
            }
            ++next_part;
            untold_when_read = static_cast<int>(untold.size());
            break;
          }
          if (load->form != std::to_string(file)) {
            values.failed(*load, true);
            load.reset();
          } else if (untold_when_read == 0 && values.take(*load, 2)) {
            load.reset();
          }
          break;
        case 8:
          if (check) {
            values.checked(check->first, std::to_string(check->second));
            check.reset();
          } else if (const auto doubted = values.next_check()) {
            check.emplace(*doubted, file);
          }
          break;
        default:
          if (below(20) != 0) break;
          ++file;
          is_rewritten = true;
          for (auto& [one, of] : now) {
            if (of) of = std::to_string(std::stoi(*of) + 1);
          }
      }
    }
  }
  EXPECT_GT(known * 5, changes) << "it isn't that nothing is known";
}

}  // namespace
}  // namespace millrace::integration
