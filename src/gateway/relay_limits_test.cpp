// What takes too long or uses too much is cancelled, and its error says so.
#include "gateway/relay_turn_test.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;
using Late = Relay::Late;

class RelayLimits : public testing::Test {
 protected:
  RelayLimits() { asker.relay.attach(server); }

  Turns turns;
  Server server;
  Asker asker{turns};
};

TEST_F(RelayLimits, WhatTakesTooLongIsToldFromWhatFollows) {
  asker.says(query("/* millrace: timeout=100ms */ SELECT 1"));
  EXPECT_EQ(asker.relay.exceeds(asker.now + 99 * ms), Late::no);
  EXPECT_EQ(asker.relay.exceeds(asker.now + 100 * ms), Late::late);
  EXPECT_TRUE(asker.relay.still_exceeds());
  asker.hears(complete("SELECT 0") + ready());
  EXPECT_FALSE(asker.relay.still_exceeds());
  asker.says(query("SELECT 2"));
  EXPECT_FALSE(asker.relay.still_exceeds());
  EXPECT_EQ(asker.relay.exceeds(asker.now + second), Late::no);
}

/// What Millrace sends behind it isn't the client's.
TEST_F(RelayLimits, WhatTakesTooLongIsCancelledThoughItNamesAStatement) {
  asker.says(parse("s", "SELECT 1") + sync());
  asker.hears(parsed() + ready());
  const std::string work = query("/* millrace: timeout=100ms */ EXECUTE s");
  const auto step = asker.says(work);
  EXPECT_EQ(step.used, work.size());
  EXPECT_TRUE(string_of(step.forward).ends_with(sync()));
  EXPECT_EQ(asker.relay.exceeds(asker.now + second), Late::late);
}

/// It may have waited before it was sent.
TEST_F(RelayLimits, AServerHasTimeToCancelFromWhenItIsTold) {
  asker.says(query("/* millrace: timeout=100ms */ SELECT 1"));
  EXPECT_EQ(asker.relay.exceeds(asker.now + 60 * second), Late::late);
  EXPECT_EQ(asker.relay.exceeds(asker.now + 69 * second), Late::late);
  EXPECT_EQ(asker.relay.exceeds(asker.now + 71 * second), Late::too_late);
}

TEST_F(RelayLimits, InABatchAStatementWithALimitIsAnsweredBeforeTheNextIsSent) {
  const std::string first = parse("", "/* millrace: timeout=1s */ SELECT 1") + bind("") + execute();
  const std::string rest = parse("", "SELECT 2") + bind("") + execute() + sync();
  const std::string both = first + rest;
  auto step = asker.says(both);
  EXPECT_EQ(step.used, first.size());
  EXPECT_EQ(string_of(step.forward), first + flush());
  EXPECT_EQ(step.next, Relay::Next::answer);
  asker.hears(parsed() + bound() + complete("SELECT 1"));
  EXPECT_EQ(string_of(asker.says(rest).forward), rest);
}

TEST_F(RelayLimits, AnErrorOfWhatTookTooLongSaysSo) {
  asker.says(query("/* millrace: timeout=100ms */ SELECT 1"));
  asker.relay.exceeds(asker.now + second);
  EXPECT_NE(asker.hears(error("57014", "canceling statement due to user request") + ready()).find("millrace.timeout"),
            std::string::npos);
  asker.says(query("SELECT 1"));
  EXPECT_EQ(asker.hears(error("57014", "by somebody else") + ready()).find("millrace.timeout"), std::string::npos);
}

TEST_F(RelayLimits, WhatUsesTooMuchMemoryIsCancelledAndItsErrorSaysSo) {
  asker.says(query("VACUUM"));
  EXPECT_FALSE(asker.relay.watched()->is_query) << "it may use what it wants";
  asker.hears(complete("VACUUM") + ready());
  asker.says(query("SELECT 1"));
  EXPECT_TRUE(asker.relay.watched()->is_query);
  EXPECT_EQ(asker.relay.watched()->since, asker.now);
  EXPECT_EQ(asker.relay.exceeds(asker.now + second), Late::no);
  asker.relay.uses_too_much(512, "LIMIT", asker.now + second);
  EXPECT_FALSE(asker.relay.watched()) << "it needn't be looked at any more";
  EXPECT_EQ(asker.relay.exceeds(asker.now + second), Late::late);
  EXPECT_EQ(asker.relay.exceeds(asker.now + 20 * second), Late::too_late);
  const std::string heard = asker.hears(error("57014", "canceling statement due to user request") + ready());
  EXPECT_NE(heard.find("C53200"), std::string::npos) << heard;
  EXPECT_NE(heard.find("512 MB of memory that LIMIT allows"), std::string::npos) << heard;
  asker.says(query("SELECT 1"));
  EXPECT_EQ(asker.relay.exceeds(asker.now + second), Late::no);
}

}  // namespace
}  // namespace millrace::gateway
