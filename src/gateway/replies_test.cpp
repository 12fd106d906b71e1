#include "gateway/replies.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

using Kind = Reply::Kind;

std::vector<Kind> kinds(const Replies& replies) {
  std::vector<Kind> all;
  for (const Reply& reply : replies.all()) all.push_back(reply.kind);
  return all;
}

Replies owing(std::initializer_list<Kind> owed) {
  Replies replies;
  for (const Kind kind : owed) replies.owe(kind, 1);
  return replies;
}

TEST(Replies, AreTakenInTheOrderOfTheMessages) {
  Replies replies = owing({Kind::parse, Kind::bind, Kind::sync});
  EXPECT_FALSE(replies.pop(Kind::bind)) << "another is due";
  EXPECT_TRUE(replies.pop(Kind::parse));
  EXPECT_TRUE(replies.pop(Kind::bind));
  ASSERT_NE(replies.front(), nullptr);
  EXPECT_EQ(replies.front()->kind, Kind::sync);
  replies.pop();
  EXPECT_EQ(replies.front(), nullptr);
  EXPECT_FALSE(replies.pop(Kind::sync));
}

TEST(Replies, ABatchEndsWithWhatIsAnsweredByReadyForQuery) {
  Replies replies = owing({Kind::parse, Kind::sync, Kind::query, Kind::function_call, Kind::bind});
  std::vector<std::uint64_t> batches;
  for (const Reply& reply : replies.all()) batches.push_back(reply.batch);
  EXPECT_EQ(batches, (std::vector<std::uint64_t>{1, 1, 2, 3, 4}));
  EXPECT_EQ(replies.batch(), 4U);
}

TEST(Replies, AnErrorSkipsUpToSync) {
  Replies replies = owing({Kind::parse, Kind::query, Kind::bind, Kind::sync, Kind::parse});
  std::vector<Kind> undone;
  replies.skip_to_sync([&](const Reply& reply, std::span<Reply> later) {
    undone.push_back(reply.kind);
    EXPECT_EQ(later.size(), 2U);
  });
  EXPECT_EQ(undone, (std::vector{Kind::bind, Kind::query, Kind::parse})) << "the last first";
  EXPECT_EQ(kinds(replies), (std::vector{Kind::sync, Kind::parse}));
  EXPECT_FALSE(replies.skipping);
}

TEST(Replies, WithoutASyncTheServerGoesOnSkipping) {
  Replies replies = owing({Kind::parse, Kind::bind});
  replies.skip_to_sync([](const Reply&, std::span<Reply> later) { EXPECT_TRUE(later.empty()); });
  EXPECT_TRUE(replies.empty());
  EXPECT_TRUE(replies.skipping);
}

TEST(Replies, WhatALaterBatchDependsOnIsUnderWayUntilItIsAnswered) {
  Replies replies;
  const Touch touch = replies.owe(Kind::parse, 1).touch();
  const Touch at_answer = replies.owe(Kind::execute, 1).touch(true);
  EXPECT_FALSE(replies.is_under_way(touch)) << "in its own batch it fails together with what depends on it";
  EXPECT_TRUE(replies.is_under_way(at_answer));
  replies.owe(Kind::sync, 1);
  EXPECT_TRUE(replies.is_under_way(touch));
  replies.pop();
  EXPECT_FALSE(replies.is_under_way(touch));
  EXPECT_TRUE(replies.is_under_way(at_answer));
  EXPECT_FALSE(replies.is_under_way({})) << "nothing touched it";
  replies.copy_in = true;
  EXPECT_FALSE(replies.is_under_way(at_answer)) << "the server reads data: nothing would be answered";
}

TEST(Replies, WhatIsAnsweredHoldsNoTexts) {
  Replies replies = owing({Kind::query, Kind::query});
  Reply& first = replies.all().front();
  first.asked = std::string(4096, 'x');
  first.parameters = std::string(2048, 'x');
  const auto sent = std::make_shared<const std::string>("text");
  first.exchange.sent = sent;
  replies.pop();
  ASSERT_EQ(replies.size(), 1);
  EXPECT_EQ(sent.use_count(), 1);
  EXPECT_TRUE(first.asked.empty()) << "its place is there as long as another's behind it";
  EXPECT_LT(first.asked.capacity(), 100);
  EXPECT_LT(first.parameters.capacity(), 100);
}

TEST(Replies, ADataEndIsOwedNothing) {
  Replies replies = owing({Kind::execute, Kind::copy_end, Kind::copy_end, Kind::sync});
  replies.pop();  // the COPY has failed before it began
  EXPECT_EQ(kinds(replies), (std::vector{Kind::sync}));
}

TEST(Replies, CopySwallowsTheSyncsAmongItsData) {
  Replies replies = owing({Kind::execute, Kind::sync, Kind::copy_end, Kind::sync});
  EXPECT_EQ(replies.begin_copy_in(), Replies::CopyIn::swallows_sync);
  EXPECT_EQ(kinds(replies), (std::vector{Kind::execute, Kind::sync}));
  EXPECT_FALSE(replies.copy_in) << "the data's end was sent";
  EXPECT_FALSE(replies.unsynced);
}

TEST(Replies, ASwallowedSyncHasToBeSentAgain) {
  Replies replies = owing({Kind::execute, Kind::sync});
  EXPECT_EQ(replies.begin_copy_in(), Replies::CopyIn::swallows_sync);
  EXPECT_TRUE(replies.copy_in);
  EXPECT_TRUE(replies.unsynced);
}

TEST(Replies, CopyWithoutASyncAmongItsDataBegins) {
  Replies replies = owing({Kind::execute});
  EXPECT_EQ(replies.begin_copy_in(), Replies::CopyIn::begins);
  EXPECT_TRUE(replies.copy_in);
}

TEST(Replies, WhatIsTakenLetsGoOfStatementsAndTexts) {
  Replies replies;
  const auto statement = std::make_shared<const sql::Statement>();
  Reply& reply = replies.owe(Kind::close, 1);
  reply.exchange.statement = reply.portal_was.statement = statement;
  reply.statement_was = Prepared{statement, nullptr};
  replies.owe(Kind::sync, 1);  // so that the place of the first is kept
  replies.pop();
  EXPECT_EQ(statement.use_count(), 1);
}

TEST(Replies, ManyAreAnsweredInOrder) {
  Replies replies;
  std::uint64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    replies.owe(Kind::query, 1);
    replies.owe(Kind::query, 1);
    EXPECT_EQ(replies.front()->number, ++last);
    replies.pop();
  }
  EXPECT_EQ(replies.size(), 1000U);
}

TEST(Replies, OnesOwnAreHiddenUnlessTheyFail) {
  Replies replies;
  const Reply& own = replies.owe_own(Kind::query, 1, Reply::Purpose::begin);
  EXPECT_TRUE(own.hidden() && own.own());
  EXPECT_EQ(own.shown, Reply::Shown::errors);
}

}  // namespace
}  // namespace millrace::gateway
