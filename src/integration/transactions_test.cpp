#include "integration/transactions.hpp"

#include <gtest/gtest.h>

#include "integration/stream_bytes_test.hpp"

namespace millrace::integration {
namespace {

using namespace made;
using pgoutput::OldRow;
using pgwire::as_bytes;
using Oids = std::vector<Oid>;

/// What the messages have committed; none of them is refused.
std::vector<Transaction> feed(Transactions& transactions, const std::vector<std::string>& messages) {
  std::vector<Transaction> done;
  for (const auto& message : messages) {
    auto fed = transactions.feed(as_bytes(message));
    EXPECT_TRUE(fed) << message[0];
    if (fed && *fed) done.push_back(**std::move(fed));
  }
  return done;
}

bool is_refused(Transactions& transactions, const std::string& message) {
  const auto fed = transactions.feed(as_bytes(message));
  return !fed && fed.error().sqlstate == "08P01";
}

TEST(Transactions, ACommittedOneSaysWhatItHasChanged) {
  Transactions transactions;
  const auto done = feed(
      transactions, {begin(700), origin(), type(), relation(9, "a"), insert(9, {"t1", "tx"}), relation(5, "b"),
                     update(5, 'K', {"t1", "n"}, {"t2", "u"}), delete_(9, 'O', {"t1", "tx"}), message("m"), commit()});
  ASSERT_EQ(done.size(), 1u);
  const auto& one = done[0];
  EXPECT_EQ(one.xid, 700u);
  EXPECT_EQ(one.commit_lsn, 0x100u);
  EXPECT_EQ(one.end_lsn, 0x108u);
  EXPECT_EQ(one.commit_time, 7);
  EXPECT_EQ(one.tables, (Oids{5, 9}));
  EXPECT_TRUE(one.truncated.empty());
  EXPECT_TRUE(one.all_changes);
  EXPECT_EQ(one.rows, 3u);
  EXPECT_EQ(one.described.size(), 2u);
  ASSERT_EQ(one.changes.size(), 3u);
  EXPECT_EQ(one.changes[0].kind, Change::Kind::insert);
  EXPECT_EQ(one.changes[0].xid, 700u);
  EXPECT_EQ(one.changes[0].table->name, "a");
  EXPECT_EQ(one.changes[0].row.value(0), "1");
  EXPECT_EQ(one.changes[0].row.value(1), "x");
  EXPECT_EQ(one.changes[1].kind, Change::Kind::update);
  EXPECT_EQ(one.changes[1].old_kind, OldRow::key);
  EXPECT_EQ(one.changes[1].old_row.value(0), "1");
  EXPECT_EQ(one.changes[1].old_row.kind(1), pgoutput::ValueKind::null);
  EXPECT_EQ(one.changes[1].row.value(0), "2");
  EXPECT_EQ(one.changes[1].row.kind(1), pgoutput::ValueKind::unchanged);
  EXPECT_EQ(one.changes[1].table->columns[1].name, "name");
  EXPECT_EQ(one.changes[2].kind, Change::Kind::delete_);
  EXPECT_EQ(one.changes[2].old_kind, OldRow::full);
  EXPECT_TRUE(transactions.between_transactions());
  EXPECT_EQ(transactions.bytes(), 0u);
}

TEST(Transactions, ATableIsWhatItWasLastDescribedAs) {
  Transactions transactions;
  feed(transactions, {begin(1), relation(9, "a"), insert(9, {"t1", "n"}), commit()});
  auto done = feed(transactions, {begin(2), insert(9, {"t1", "n"}), commit(), begin(3), relation(9, "a"),
                                  insert(9, {"t1", "n"}), commit(), begin(4), relation(9, "other"), commit()});
  ASSERT_EQ(done.size(), 3u);
  EXPECT_TRUE(done[0].described.empty());
  ASSERT_EQ(done[1].described.size(), 1u);
  EXPECT_EQ(*done[1].described[0], *done[0].changes[0].table);
  ASSERT_EQ(done[2].described.size(), 1u);
  EXPECT_EQ(done[2].described[0]->name, "other");
}

TEST(Transactions, WhatIsTruncatedIsAChangeOfItsTable) {
  Transactions transactions;
  const auto done = feed(transactions, {begin(1), relation(9, "a"), relation(5, "b"), truncate({9, 5}), commit()});
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].tables, (Oids{5, 9}));
  EXPECT_EQ(done[0].truncated, (Oids{5, 9}));
}

TEST(Transactions, OfALargeOneNothingCountsBeforeItsCommit) {
  Transactions transactions;
  EXPECT_TRUE(
      feed(transactions, {stream_start(10, true), relation(9, "a", 10), insert(9, {"t1", "n"}, 10), stream_stop()})
          .empty());
  EXPECT_FALSE(transactions.between_transactions());
  // Another one between its blocks.
  const auto between = feed(transactions, {begin(11), relation(5, "b"), insert(5, {"t1", "n"}), commit()});
  ASSERT_EQ(between.size(), 1u);
  EXPECT_EQ(between[0].tables, Oids{5});
  const auto done =
      feed(transactions, {stream_start(10, false), insert(9, {"t2", "n"}, 12), stream_stop(), stream_commit(10)});
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].xid, 10u);
  EXPECT_EQ(done[0].commit_lsn, 0x200u);
  EXPECT_EQ(done[0].tables, Oids{9});
  ASSERT_EQ(done[0].changes.size(), 2u);
  EXPECT_EQ(done[0].changes[1].xid, 12u);
  EXPECT_TRUE(transactions.between_transactions());
  EXPECT_EQ(transactions.bytes(), 0u);
}

TEST(Transactions, WhatIsRolledBackDoesntCount) {
  Transactions transactions;
  const auto done = feed(
      transactions, {stream_start(10, true), relation(9, "a", 10), relation(5, "b", 10), insert(9, {"t1", "n"}, 10),
                     insert(5, {"t1", "n"}, 11), truncate({5}, 0, 11), stream_stop(), stream_abort(10, 11),
                     stream_start(20, true), relation(9, "changed", 20), insert(9, {"t1", "n"}, 20), stream_stop(),
                     stream_abort(20, 20), stream_commit(10), begin(30), insert(9, {"t3", "n"}), commit()});
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].tables, Oids{9});
  EXPECT_TRUE(done[0].truncated.empty());
  EXPECT_EQ(done[0].changes.size(), 1u);
  EXPECT_EQ(done[0].rows, 1u);
  // A table is what it was before the transaction that was rolled back.
  EXPECT_EQ(done[1].changes.at(0).table->name, "a");
  EXPECT_TRUE(transactions.between_transactions());
  EXPECT_EQ(transactions.bytes(), 0u);
}

TEST(Transactions, ATableThatALargeOneHasChangedIsSoForOthersAfterItsCommit) {
  Transactions transactions;
  feed(transactions, {begin(1), relation(9, "before"), insert(9, {"t1", "n"}), commit(), stream_start(10, true),
                      relation(9, "after", 10), insert(9, {"t1", "n"}, 10), stream_stop()});
  auto done = feed(transactions, {begin(11), insert(9, {"t1", "n"}), commit(), stream_commit(10), begin(12),
                                  insert(9, {"t1", "n"}), commit()});
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(done[0].changes.at(0).table->name, "before");
  EXPECT_EQ(done[1].changes.at(0).table->name, "after");
  EXPECT_EQ(done[2].changes.at(0).table->name, "after");
}

TEST(Transactions, TooManyChangesAreTablesOnly) {
  Transactions transactions({.bytes = 2000});
  std::vector<std::string> messages = {begin(1), relation(9, "a")};
  for (int i = 0; i < 100; ++i) messages.push_back(insert(9, {"t1", "t" + std::string(100, 'x')}));
  messages.push_back(commit());
  const auto done = feed(transactions, messages);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_FALSE(done[0].all_changes);
  EXPECT_TRUE(done[0].changes.empty());
  EXPECT_EQ(done[0].rows, 100u);
  EXPECT_EQ(done[0].tables, Oids{9});
  EXPECT_EQ(transactions.bytes(), 0u);
}

TEST(Transactions, AllThatAreUnderWayShareTheirMemory) {
  Transactions transactions({.bytes = 10'000, .all_bytes = 12'000});
  std::vector<std::string> messages;
  for (Xid xid = 10; xid < 100; ++xid) {
    messages.push_back(stream_start(xid, true));
    messages.push_back(relation(9, "a", xid));
    for (int i = 0; i < 10; ++i) messages.push_back(insert(9, {"t1", "t" + std::string(100, 'x')}, xid));
    messages.push_back(stream_stop());
  }
  EXPECT_TRUE(feed(transactions, messages).empty());
  EXPECT_LE(transactions.bytes(), 12'000u);
  for (Xid xid = 10; xid < 100; ++xid) EXPECT_EQ(feed(transactions, {stream_commit(xid)}).at(0).tables, Oids{9});
  EXPECT_EQ(transactions.bytes(), 0u);
}

TEST(Transactions, SubtransactionsBeyondTheLimitCountThoughTheyAreRolledBack) {
  Transactions transactions({.tables = 10});
  std::vector<std::string> messages = {stream_start(10, true), relation(9, "a", 10), relation(5, "b", 10),
                                       insert(5, {"t1", "n"}, 99)};
  for (Xid xid = 11; xid < 40; ++xid) messages.push_back(insert(9, {"t1", "n"}, xid));
  messages.insert(messages.end(), {stream_stop(), stream_abort(10, 99), stream_commit(10)});
  const auto done = feed(transactions, messages);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].tables, (Oids{5, 9}));
  EXPECT_FALSE(done[0].everything);
  EXPECT_FALSE(done[0].all_changes);
}

TEST(Transactions, TooManyTablesAreEverything) {
  Transactions transactions({.tables = 10});
  std::vector<std::string> messages = {begin(1)};
  for (Oid oid = 100; oid < 120; ++oid) {
    messages.push_back(relation(oid, "t" + std::to_string(oid)));
    messages.push_back(insert(oid, {"t1", "n"}));
  }
  messages.push_back(commit());
  const auto done = feed(transactions, messages);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_TRUE(done[0].everything);
  EXPECT_FALSE(done[0].all_changes);
}

TEST(Transactions, AMessageThatIsTooLongIsAChangeOfItsTable) {
  Transactions transactions;
  feed(transactions, {begin(1), relation(9, "a"), insert(9, {"t1", "n"})});
  const auto beginning = insert(9, {"t1", "tlong"}).substr(0, 8);
  EXPECT_TRUE(transactions.feed(as_bytes(beginning), false));
  const auto done = feed(transactions, {commit()});
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].tables, Oids{9});
  EXPECT_FALSE(done[0].all_changes);
  EXPECT_EQ(done[0].rows, 2u);
}

TEST(Transactions, WhatIsOutOfOrderIsRefused) {
  Transactions none;
  for (const auto& message : {commit(), relation(9, "a"), insert(9, {"t1"}), truncate({9}), stream_stop(),
                              stream_commit(1), stream_abort(1, 1), stream_start(1, false)}) {
    EXPECT_TRUE(is_refused(none, message)) << message[0];
  }
  EXPECT_FALSE(none.feed(as_bytes(insert(9, {"t1"})), false));

  Transactions begun;
  feed(begun, {begin(1)});
  EXPECT_TRUE(is_refused(begun, begin(2)));
  EXPECT_TRUE(is_refused(begun, insert(9, {"t1"}))) << "of a table that wasn't described";
  EXPECT_TRUE(is_refused(begun, stream_start(3, true)));

  Transactions large;
  feed(large, {stream_start(1, true), stream_stop()});
  EXPECT_TRUE(is_refused(large, stream_start(1, true)));
  EXPECT_TRUE(is_refused(large, stream_abort(2, 2)));
}

}  // namespace
}  // namespace millrace::integration
