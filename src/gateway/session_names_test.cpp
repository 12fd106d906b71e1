#include "gateway/session_names.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

using Kind = Reply::Kind;
using What = sql::SessionChange::What;

StatementPtr statement(std::vector<sql::SessionChange> changes = {}) {
  auto made = std::make_shared<sql::Statement>();
  made->changes = std::move(changes);
  return made;
}

/// A client that sends, and a server that answers.
struct Session {
  explicit Session(bool moves) : names(replies, moves) {}

  void parse(std::string_view name, const StatementPtr& what) {
    names.parse(name, {what, nullptr}, replies.owe(Kind::parse, 1));
  }
  void bind(std::string_view portal, const StatementPtr& what) {
    names.bind(portal, {what}, replies.owe(Kind::bind, 1));
  }
  void close_statement(std::string_view name) { names.close_statement(name, replies.owe(Kind::close, 1)); }
  void close_portal(std::string_view name) { names.close_portal(name, replies.owe(Kind::close, 1)); }
  void execute(const StatementPtr& what) {
    Reply& reply = replies.owe(Kind::execute, 1);
    reply.exchange.statement = what;
    names.run(*what, reply);
  }
  void query() { names.query(replies.owe(Kind::query, 1)); }
  void sync() { replies.owe(Kind::sync, 1); }

  void answered(int count = 1) {
    for (; count > 0; --count) replies.pop();
  }
  void fails() {
    replies.front()->failed = true;
    replies.skip_to_sync([this](Reply& skipped, std::span<Reply> later) { names.undo(skipped, later); });
  }

  StatementPtr prepared(std::string_view name) {
    const Prepared* const found = names.find(name);
    return found == nullptr ? nullptr : found->statement;
  }

  Replies replies;
  SessionNames names;
};

class InBothModes : public testing::TestWithParam<bool> {
 protected:
  Session session{GetParam()};
  const StatementPtr one = statement(), two = statement(), three = statement();
};
INSTANTIATE_TEST_SUITE_P(SessionNames, InBothModes, testing::Bool(),
                         [](const auto& moves) { return moves.param ? "transaction" : "session"; });

TEST_P(InBothModes, APortalHasTheTextOfItsOwnStatement) {
  const auto sent = std::make_shared<const std::string>("SELECT 2");
  for (const char* name : {"p", ""}) {
    session.names.bind(name, {one, sent}, session.replies.owe(Kind::bind, 1));
    session.answered();
    session.bind(name, two);
    EXPECT_EQ(session.names.find_portal(name).sent, nullptr) << name;
    session.fails();
    EXPECT_EQ(session.names.find_portal(name).statement, one) << name;
    EXPECT_EQ(session.names.find_portal(name).sent, sent) << name;
    session.replies.skipping = false;
  }
}

TEST_P(InBothModes, WhatIsSentIsTakenToBeDone) {
  session.parse("a", one);
  session.parse("", two);
  session.bind("p", one);
  session.bind("", two);
  EXPECT_EQ(session.prepared("a"), one);
  EXPECT_EQ(session.prepared(""), two);
  EXPECT_EQ(session.names.find_portal("p").statement, one);
  EXPECT_EQ(session.names.find_portal("").statement, two);
  session.close_statement("a");
  session.close_statement("");
  session.close_portal("p");
  session.close_portal("");
  EXPECT_EQ(session.names.find("a"), nullptr);
  EXPECT_EQ(session.names.find(""), nullptr);
  EXPECT_EQ(session.names.find_portal("p").statement, nullptr);
  EXPECT_EQ(session.names.find_portal("").statement, nullptr);
}

TEST_P(InBothModes, WhatIsSkippedIsUndone) {
  for (const std::string_view name : {"a", ""}) {
    session.parse(name, one);
    session.bind(name, one);
    session.sync();
    session.answered(3);

    session.bind("nobody", nullptr);
    session.close_statement(name);
    session.close_portal(name);
    session.parse(name, two);
    session.bind(name, two);
    session.close_statement(name);
    session.fails();
    EXPECT_EQ(session.prepared(name), one) << name;
    EXPECT_EQ(session.names.find_portal(name).statement, one) << name;
  }
}

TEST_P(InBothModes, AParseThatFailsHasDroppedTheUnnamedStatement) {
  session.parse("", one);
  session.sync();
  session.answered(2);
  session.parse("", two);
  session.parse("", three);
  session.fails();
  EXPECT_EQ(session.names.find(""), nullptr);
}

TEST_P(InBothModes, AQueryDropsTheUnnamedStatement) {
  session.parse("", one);
  session.query();
  EXPECT_EQ(session.names.find(""), nullptr);
  session.fails();
  session.parse("", one);
  session.sync();
  session.answered(2);

  session.bind("nobody", nullptr);
  session.query();
  session.fails();
  EXPECT_EQ(session.prepared(""), one) << "unless it is skipped";
}

TEST_P(InBothModes, WhatALaterBatchHasReplacedStaysReplaced) {
  for (const std::string_view name : {"a", ""}) {
    session.parse(name, one);
    session.bind(name, one);
    session.sync();
    session.parse(name, two);
    session.bind(name, two);
    session.sync();
    session.fails();
    EXPECT_EQ(session.prepared(name), two) << name;
    EXPECT_EQ(session.names.find_portal(name).statement, two) << name;
    session.answered();
    session.fails();
    EXPECT_EQ(session.names.find(name), nullptr) << name;
    EXPECT_EQ(session.names.find_portal(name).statement, nullptr) << name;
    session.answered();
  }
}

TEST_P(InBothModes, WhatALaterBatchHasClosedStaysClosed) {
  for (const std::string_view name : {"a", ""}) {
    session.parse(name, one);
    session.close_statement(name);
    session.parse(name, two);
    session.bind(name, one);
    session.close_portal(name);
    session.bind(name, two);
    session.sync();
    session.close_statement(name);
    session.close_portal(name);
    session.fails();
    EXPECT_EQ(session.names.find(name), nullptr) << name;
    EXPECT_EQ(session.names.find_portal(name).statement, nullptr) << name;
    session.answered(3);
  }
}

TEST_P(InBothModes, WhatSqlHasDroppedComesBackWithNoError) {
  for (const bool all : {false, true}) {
    session.parse("a", one);
    session.parse("", two);
    session.sync();
    session.answered(3);
    session.execute(statement({{all ? What::deallocate_all : What::deallocate, "a", ""}}));
    session.bind("nobody", nullptr);
    session.close_statement("a");
    if (all) {
      session.names.forget_statements();
    } else {
      session.names.on_tag("DEALLOCATE", *session.replies.front());
    }
    session.answered();
    session.fails();
    EXPECT_EQ(session.names.find("a"), nullptr);
    EXPECT_EQ(session.prepared(""), two) << "DEALLOCATE ALL leaves it";
  }
}

TEST_P(InBothModes, ATagIsTheNextStatementOfItsKind) {
  const auto text = statement(
      {{What::prepare, "a", ""}, {What::set, "x", ""}, {What::deallocate, "a", ""}, {What::prepare, "b", ""}});
  session.execute(text);
  Reply& reply = *session.replies.front();
  session.names.on_tag("PREPARE", reply);
  EXPECT_TRUE(session.names.is_taken("a"));
  session.names.on_tag("DEALLOCATE", reply);
  EXPECT_FALSE(session.names.is_taken("a"));
  EXPECT_FALSE(session.names.is_taken("b"));
  session.names.on_tag("PREPARE", reply);
  EXPECT_TRUE(session.names.is_taken("b"));
}

TEST(SessionNames, ColumnsBelongToTheText) {
  PreparedTexts texts{"mr_"};
  Session session(true);
  const StatementPtr one = statement(), two = statement();
  const Text text = texts.intern("SELECT 1", {}, one), other = texts.intern("SELECT 2", {}, two);
  session.names.statements["a"] = {one, text};
  session.names.on_described("a", other, 7);
  EXPECT_EQ(session.names.find("a")->columns, 0U) << "the name has been given to another since";
  session.names.on_described("a", text, 7);
  EXPECT_EQ(session.names.find("a")->columns, 7U);
  session.names.replace_text("a", other, nullptr);
  EXPECT_EQ(session.names.find("a")->text, text);
  session.names.replace_text("a", text, other);
  EXPECT_EQ(session.names.find("a")->text, other);
}

TEST(SessionNames, ALaterBatchWaitsForANameOnlyIfItsClientMoves) {
  for (const bool moves : {false, true}) {
    Session session(moves);
    session.parse("a", statement());
    session.bind("p", statement());
    EXPECT_FALSE(session.names.is_statement_under_way("a"));
    EXPECT_FALSE(session.names.is_portal_under_way("p"));
    session.sync();
    EXPECT_EQ(session.names.is_statement_under_way("a"), moves);
    EXPECT_EQ(session.names.is_portal_under_way("p"), moves);
    EXPECT_FALSE(session.names.is_statement_under_way("b"));
    session.answered(2);
    EXPECT_FALSE(session.names.is_statement_under_way("a"));
    EXPECT_FALSE(session.names.is_portal_under_way("p"));
  }
}

TEST(SessionNames, WhatSqlDoesToNamesIsKnownWhenItIsAnswered) {
  Session session(true);
  session.execute(statement({{What::deallocate, "a", ""}}));
  EXPECT_TRUE(session.names.is_statement_under_way("a")) << "in its own batch too";
  EXPECT_FALSE(session.names.is_statement_under_way("b"));
  session.execute(statement({{What::deallocate_all, "", ""}}));
  EXPECT_TRUE(session.names.is_statement_under_way("b"));
  EXPECT_FALSE(session.names.is_statement_under_way("")) << "DEALLOCATE ALL leaves it";
  session.answered(2);
  EXPECT_FALSE(session.names.is_statement_under_way("b"));
}

}  // namespace
}  // namespace millrace::gateway
