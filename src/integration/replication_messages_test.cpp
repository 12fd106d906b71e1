#include "integration/replication_messages.hpp"

#include <gtest/gtest.h>

#include "integration/stream_bytes_test.hpp"

namespace millrace::integration {
namespace {

using pgwire::as_bytes;

TEST(ReplicationMessages, AreReadOrRefused) {
  const std::string data = made::Bytes('w').u64(0x10).u64(0x20).u64(30).plain("I...").done();
  const auto read = decode_copy_data(as_bytes(data));
  ASSERT_TRUE(read && std::holds_alternative<XLogData>(*read));
  EXPECT_EQ(std::get<XLogData>(*read).start, 0x10u);
  EXPECT_EQ(std::get<XLogData>(*read).end, 0x20u);
  EXPECT_EQ(std::get<XLogData>(*read).sent_at, 30);
  EXPECT_EQ(pgwire::as_text(std::get<XLogData>(*read).data), "I...");
  for (std::size_t length = 0; length < xlog_data_header; ++length) {
    EXPECT_FALSE(decode_copy_data(as_bytes(data).first(length)));
  }

  const std::string alive = made::Bytes('k').u64(0x40).u64(50).u8(1).done();
  const auto kept = decode_copy_data(as_bytes(alive));
  ASSERT_TRUE(kept && std::holds_alternative<KeepAlive>(*kept));
  EXPECT_EQ(std::get<KeepAlive>(*kept).end, 0x40u);
  EXPECT_TRUE(std::get<KeepAlive>(*kept).reply_requested);
  for (std::size_t length = 0; length < alive.size(); ++length) {
    EXPECT_FALSE(decode_copy_data(as_bytes(alive).first(length)));
  }
  EXPECT_FALSE(decode_copy_data(as_bytes(alive + "x")));
  EXPECT_FALSE(decode_copy_data(as_bytes("s" + data.substr(1))));
}

TEST(ReplicationMessages, TheStatusSaysThreeTimesHowFarItIs) {
  std::string out;
  append_standby_status(out, 0x0102030405060708, 9, true);
  const std::string body =
      made::Bytes('r').u64(0x0102030405060708).u64(0x0102030405060708).u64(0x0102030405060708).u64(9).u8(1).done();
  EXPECT_EQ(out, made::Bytes('d').u32(38).plain(body).done());
}

}  // namespace
}  // namespace millrace::integration
