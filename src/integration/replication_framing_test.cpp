#include "integration/replication_framing.hpp"

#include <gtest/gtest.h>

#include "integration/stream_bytes_test.hpp"

namespace millrace::integration {
namespace {

using pgwire::as_bytes;

std::string message(char type, std::string_view body) {
  return made::Bytes(type).u32(static_cast<std::uint32_t>(body.size() + 4)).plain(body).done();
}
std::string data(std::uint64_t at, std::string_view what) {
  return message('d', made::Bytes('w').u64(at).u64(0).u64(0).plain(what).done());
}

struct Told {
  bool started = false;
  std::vector<std::pair<pgoutput::Lsn, bool>> data;
  std::vector<pgoutput::Lsn> alive;
  bool refuses = false;

  ReplicationFraming framing() {
    return ReplicationFraming({.on_started = [this] { started = true; },
                               .on_data = [this](const XLogData& one, bool whole) -> Result<> {
                                 if (refuses) return fail("no", "22000");
                                 data.emplace_back(one.start, whole);
                                 return {};
                               },
                               .on_keep_alive = [this](const KeepAlive& one) { alive.push_back(one.end); }});
  }
};

TEST(ReplicationFraming, TellsWhatIsThereAndWaitsForTheRest) {
  const auto bytes = message('W', std::string(3, '\0')) + data(1, "B") +
                     message('d', made::Bytes('k').u64(7).u64(0).u8(0).done()) + data(2, "C");
  Told told;
  auto framing = told.framing();
  const auto first = framing.feed(as_bytes(bytes).first(bytes.size() - 1));
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, bytes.size() - data(2, "C").size());
  EXPECT_TRUE(told.started);
  EXPECT_EQ(told.data, (std::vector<std::pair<pgoutput::Lsn, bool>>{{1, true}}));
  EXPECT_EQ(told.alive, (std::vector<pgoutput::Lsn>{7}));
  const auto rest = framing.feed(as_bytes(bytes).subspan(*first));
  ASSERT_TRUE(rest);
  EXPECT_EQ(*first + *rest, bytes.size());
  EXPECT_EQ(told.data.back(), std::pair(pgoutput::Lsn{2}, true));
}

TEST(ReplicationFraming, TellsTheBeginningOfALongMessageOnceAndSkipsItsRest) {
  const auto bytes = data(1, std::string(ReplicationFraming::longest_message, 'x')) + data(2, "C");
  Told told;
  auto framing = told.framing();
  for (std::size_t done = 0; done < bytes.size();) {
    const auto fed = framing.feed(as_bytes(bytes).subspan(done, std::min<std::size_t>(100, bytes.size() - done)));
    ASSERT_TRUE(fed);
    ASSERT_GT(*fed, 0u);
    done += *fed;
  }
  EXPECT_EQ(told.data, (std::vector<std::pair<pgoutput::Lsn, bool>>{{1, false}, {2, true}}));
}

TEST(ReplicationFraming, EndsWithWhatIsWrong) {
  const auto ends_with = [](const std::string& bytes, bool refuses = false) {
    Told told;
    told.refuses = refuses;
    auto framing = told.framing();
    const auto fed = framing.feed(as_bytes(bytes));
    return fed ? "" : fed.error().sqlstate;
  };
  EXPECT_EQ(ends_with(message('E', std::string("SFATAL\0C57P01\0Mover\0\0", 21))), "57P01");
  EXPECT_EQ(ends_with(message('c', "")), "08006");
  EXPECT_EQ(ends_with(std::string("d\0\0\0\1", 5)), "08P01");
  EXPECT_EQ(ends_with(std::string("E\x7f\0\0\0", 5)), "08P01");  // only a row may be long
  EXPECT_EQ(ends_with(message('d', "?")), "08P01");
  EXPECT_EQ(ends_with(data(1, "B"), true), "22000");
}

}  // namespace
}  // namespace millrace::integration
