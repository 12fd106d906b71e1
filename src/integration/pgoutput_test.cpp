#include "integration/pgoutput.hpp"

#include <gtest/gtest.h>

#include <deque>

#include "integration/stream_bytes_test.hpp"

namespace millrace::integration::pgoutput {
namespace {

using pgwire::as_bytes;
using pgwire::as_text;

/// What comes out points into the bytes, which are kept here.
template <typename T>
T read(std::string bytes, bool in_block = false) {
  static std::deque<std::string> kept;
  const auto decoded = decode(as_bytes(kept.emplace_back(std::move(bytes))), in_block);
  EXPECT_TRUE(decoded && std::holds_alternative<T>(*decoded));
  return std::get<T>(*decoded);
}

struct Sample {
  std::string bytes;
  bool in_block;
};

std::vector<Sample> samples() {
  using namespace made;
  return {{made::begin(700), false},
          {made::commit(), false},
          {made::origin(), false},
          {made::relation(16384, "t"), false},
          {made::relation(16384, "t", 701), true},
          {made::type(), false},
          {made::insert(16384, {"t1", "n"}), false},
          {made::insert(16384, {"t1", "bxy"}, 701), true},
          {made::update(16384, 'N', {}, {"t1", "u"}), false},
          {made::update(16384, 'K', {"t1", "n"}, {"t2", "tb"}, 701), true},
          {made::update(16384, 'O', {"t1", "ta"}, {"t1", "tb"}), false},
          {made::delete_(16384, 'O', {"t1", "ta"}), false},
          {made::delete_(16384, 'K', {"t1", "n"}, 701), true},
          {made::truncate({1, 2, 3}, 3), false},
          {made::message("hello"), false},
          {made::stream_start(701, true), false},
          {made::stream_stop(), true},
          {made::stream_commit(701), false},
          {made::stream_abort(701, 702), false}};
}

TEST(Pgoutput, EachMessageSaysWhatItHolds) {
  const auto begun = read<Begin>(made::begin(700));
  EXPECT_EQ(begun.xid, 700u);
  EXPECT_EQ(begun.commit_lsn, 0x100u);
  EXPECT_EQ(begun.commit_time, 7);
  EXPECT_EQ(read<Commit>(made::commit()).end_lsn, 0x108u);
  EXPECT_EQ(read<Origin>(made::origin()).name, "elsewhere");

  const auto table = read<Relation>(made::relation(16384, "people", 701), true);
  EXPECT_EQ(table.xid, 701u);
  EXPECT_EQ(table.oid, 16384u);
  EXPECT_EQ(table.schema, "public");
  EXPECT_EQ(table.name, "people");
  ASSERT_EQ(table.columns.size(), 2u);
  EXPECT_TRUE(table.columns[0].in_identity);
  EXPECT_EQ(table.columns[1].name, "name");
  EXPECT_EQ(table.columns[1].type, 25u);
  EXPECT_EQ(table.columns[1].modifier, -1);

  const auto inserted = read<Insert>(made::insert(16384, {"t1", "n", "u", "bxy"}));
  ASSERT_EQ(inserted.row.size(), 4u);
  EXPECT_EQ(as_text(inserted.row[0].data), "1");
  EXPECT_EQ(inserted.row[1].kind, ValueKind::null);
  EXPECT_EQ(inserted.row[2].kind, ValueKind::unchanged);
  EXPECT_EQ(as_text(inserted.row[3].data), "xy");

  const auto updated = read<Update>(made::update(16384, 'K', {"t1", "n"}, {"t2", "tb"}));
  EXPECT_EQ(updated.old_kind, OldRow::key);
  EXPECT_EQ(as_text(updated.old_row[0].data), "1");
  EXPECT_EQ(as_text(updated.row[1].data), "b");
  EXPECT_EQ(read<Update>(made::update(16384, 'N', {}, {"t2"})).old_kind, OldRow::none);
  EXPECT_EQ(read<Delete>(made::delete_(16384, 'O', {"t2"})).old_kind, OldRow::full);

  const auto emptied = read<Truncate>(made::truncate({5, 6}, 2));
  EXPECT_EQ(emptied.relations, (std::vector<Oid>{5, 6}));
  EXPECT_FALSE(emptied.cascade);
  EXPECT_TRUE(emptied.restart_identity);

  EXPECT_EQ(as_text(read<Message>(made::message("hello")).content), "hello");
  EXPECT_TRUE(read<StreamStart>(made::stream_start(701, true)).first);
  EXPECT_EQ(read<StreamCommit>(made::stream_commit(701)).end_lsn, 0x208u);
  EXPECT_EQ(read<StreamAbort>(made::stream_abort(701, 702)).sub_xid, 702u);
}

TEST(Pgoutput, WhatIsCutOffOrTooLongIsRefused) {
  for (const auto& [bytes, in_block] : samples()) {
    ASSERT_TRUE(decode(as_bytes(bytes), in_block)) << bytes[0];
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      const auto cut = decode(as_bytes(bytes).first(length), in_block);
      ASSERT_FALSE(cut) << bytes[0] << " cut at " << length;
      EXPECT_EQ(cut.error().sqlstate, "08P01");
    }
    EXPECT_FALSE(decode(as_bytes(bytes + "x"), in_block)) << bytes[0];
  }
}

TEST(Pgoutput, WithAnyByteChangedItIsReadOrRefused) {
  for (auto [bytes, in_block] : samples()) {
    for (char& byte : bytes) {
      const char before = byte;
      for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
        byte = static_cast<char>(value);
        const auto any = decode(as_bytes(bytes), in_block);
        EXPECT_TRUE(any || any.error().sqlstate == "08P01");
        const auto row = decode_beginning(as_bytes(bytes), in_block);
        EXPECT_TRUE(row || row.error().sqlstate == "08P01");
      }
      byte = before;
    }
  }
}

TEST(Pgoutput, ABlockBeginsAndEndsAndHoldsNoOther) {
  EXPECT_FALSE(decode(as_bytes(made::stream_stop()), false));
  for (const auto& bytes : {made::begin(1), made::commit(), made::stream_start(1, true), made::stream_commit(1),
                            made::stream_abort(1, 1)}) {
    EXPECT_FALSE(decode(as_bytes(bytes), true)) << bytes[0];
  }
}

TEST(Pgoutput, WhatIsTooLongToBeKeptSaysItsTable) {
  const auto bytes = made::update(16384, 'O', {"t1", "ta"}, {"t1", "tb"}, 701);
  const auto change = decode_beginning(as_bytes(bytes).first(9), true);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->type, 'U');
  EXPECT_EQ(change->xid, 701u);
  EXPECT_EQ(change->relation, 16384u);
  EXPECT_FALSE(decode_beginning(as_bytes(bytes).first(8), true));
  EXPECT_FALSE(decode_beginning(as_bytes(made::relation(16384, "t")), false));
}

}  // namespace
}  // namespace millrace::integration::pgoutput
