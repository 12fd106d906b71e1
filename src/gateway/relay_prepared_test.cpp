// In transaction mode a client's prepared statements follow it from one server connection to the next.
#include "gateway/relay_test.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;

class RelayPrepared : public testing::Test {
 protected:
  World world;
  Server one, two;
  Client client{world, Mode::transaction};

  void SetUp() override { client.on(one); }
};

TEST_F(RelayPrepared, SessionModeLeavesNamesAlone) {
  Client session(world, Mode::session);
  session.on(one);
  const std::string bytes =
      parse("s", "SELECT 1") + describe_statement("s") + bind("s") + execute() + close_statement("s") + sync();
  EXPECT_EQ(session.sends(bytes), bytes);
  EXPECT_TRUE(one.prepared.empty());
}

/// What a client that keeps its connection has executed is known by what it prepared last, whatever was sent before it
/// was answered: here, what leaves traces that nobody else may find.
TEST_F(RelayPrepared, SessionModeKnowsWhatANameStandsFor) {
  struct Conversation {
    std::string sent, answered;
  };
  const std::string load = parse("a", "LOAD 'x'"), known = error("26000", "there is none") + ready();
  const std::vector<Conversation> conversations = {
      {query("DEALLOCATE a") + query("DEALLOCATE a") + load + sync(),
       complete("DEALLOCATE") + ready() + known + parsed() + ready()},
      {query("DEALLOCATE a") + load + sync(), complete("DEALLOCATE") + ready() + parsed() + ready()},
      {query("DISCARD ALL") + query("DEALLOCATE a") + load + sync(),
       complete("DISCARD ALL") + ready() + known + parsed() + ready()},
      {query("DISCARD ALL") + parse("a", "SELEC") + sync() + load + sync(),
       complete("DISCARD ALL") + ready() + error("42601", "syntax error") + ready() + parsed() + ready()},
      {close_statement("a") + parse("a", "SELEC") + sync() + load + sync(),
       closed() + error("42601", "syntax error") + ready() + parsed() + ready()},
      {load + sync(), parsed() + ready()},  // somebody dropped it out of sight
  };
  for (const auto& conversation : conversations) {
    Server server;
    Client session(world, Mode::session);
    session.on(server);
    session.prepares("a", "SELECT 1");
    EXPECT_EQ(session.sends(conversation.sent), conversation.sent);
    session.hears(conversation.answered);
    session.sends(bind("a") + execute() + sync());
    EXPECT_TRUE(server.tainted) << testing::PrintToString(conversation.sent);
  }
}

TEST_F(RelayPrepared, AStatementGetsANameOfOurs) {
  EXPECT_EQ(client.sends(parse("s", "SELECT 1") + describe_statement("s") + bind("s", "p") + execute("p") + sync()),
            parse("mr_1", "SELECT 1") + describe_statement("mr_1") + bind("mr_1", "p") + execute("p") + sync());
  const std::string answer = parsed() + parameter_types() + columns() + bound() + complete("SELECT 0") + ready();
  EXPECT_EQ(client.hears(answer), answer);
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayPrepared, AnotherServerConnectionIsGivenItWhenItIsUsed) {
  client.prepares("s", "SELECT 1");
  client.on(two);
  EXPECT_EQ(client.sends(bind("s") + execute() + sync()),
            parse("mr_1", "SELECT 1") + bind("mr_1") + execute() + sync());
  const std::string answer = bound() + row("1") + complete("SELECT 1") + ready();
  EXPECT_EQ(client.hears(parsed() + answer), answer) << "the answer to our own Parse is left out";
  EXPECT_EQ(client.sends(bind("s") + execute() + sync()), bind("mr_1") + execute() + sync());
  client.hears(answer);

  Server three;
  client.on(three);
  EXPECT_EQ(client.sends(describe_statement("s") + sync()),
            parse("mr_1", "SELECT 1") + describe_statement("mr_1") + sync());
}

class RelayColumns : public RelayPrepared {
 protected:
  const std::string two_columns = [] {
    std::string out;
    pgwire::append_row_description(
        out, std::array{pgwire::FieldDescription{.name = "a"}, pgwire::FieldDescription{.name = "b"}});
    return out;
  }();

  void SetUp() override {
    RelayPrepared::SetUp();
    client.sends(parse("s", "SELECT * FROM t") + describe_statement("s") + sync());
    client.hears(parsed() + parameter_types() + columns() + ready());
    client.on(two);
    const auto step = client.relay.from_client(bytes_of(wanted), 5);
    EXPECT_EQ(step.next, Relay::Next::answer);
    EXPECT_EQ(step.used, 0U);
    EXPECT_EQ(string_of(step.forward), parse("mr_1", "SELECT * FROM t") + describe_statement("mr_1") + flush());
    EXPECT_EQ(client.relay.from_client(bytes_of(wanted), 6).next, Relay::Next::answer) << "asked once";
    EXPECT_TRUE(client.relay.asking());
    EXPECT_FALSE(client.relay.releasable());
  }

  const std::string wanted = bind("s") + execute() + sync();
};

TEST_F(RelayColumns, AStatementWhoseColumnsAreAsToldIsExecuted) {
  const std::string answer = bound() + row("1") + complete("SELECT 1") + ready();
  EXPECT_EQ(client.hears(parsed() + parameter_types() + columns()), "");
  EXPECT_FALSE(client.relay.asking());
  EXPECT_EQ(client.sends(wanted), bind("mr_1") + execute() + sync());
  EXPECT_EQ(client.hears(answer), answer);
  EXPECT_EQ(client.sends(bind("s") + sync()), bind("mr_1") + sync()) << "known now";
}

TEST_F(RelayColumns, AStatementWhoseColumnsHaveChangedIsRefusedByAnError) {
  client.hears(parsed() + parameter_types() + two_columns);
  // The server is made to fail, so that it skips and aborts what it would on a connection of the client's own.
  EXPECT_EQ(client.sends(wanted), bind("mr_0") + execute() + sync());
  const std::string theirs = error("26000", "prepared statement \"mr_0\" does not exist");
  std::string ours;
  pgwire::append_error_response(ours, "ERROR",
                                Error{.message = "cached plan must not change result type", .sqlstate = "0A000"});
  EXPECT_EQ(client.hears(theirs + ready()), ours + ready());
  EXPECT_TRUE(client.relay.releasable());
  EXPECT_EQ(client.sends(describe_statement("s") + sync()), describe_statement("mr_0") + sync());
  EXPECT_EQ(client.hears(theirs + ready()), ours + ready());
  client.sends(close_statement("s") + sync());
  client.hears(closed() + ready());
  client.prepares("s", "SELECT * FROM t");
  EXPECT_EQ(client.sends(bind("s") + sync()), bind("mr_2") + sync());
}

TEST_F(RelayColumns, AStatementThatCannotBePreparedElsewhereIsRefusedByTheServer) {
  const std::string refusal = error("42P01", "relation \"t\" does not exist");
  EXPECT_EQ(client.hears(refusal), refusal);
  EXPECT_FALSE(client.relay.asking());
  EXPECT_EQ(client.sends(wanted), wanted) << "skipped up to Sync";
  client.hears(ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayPrepared, ClientsThatPrepareTheSameShareIt) {
  Client other(world, Mode::transaction);
  client.prepares("mine", "SELECT 1");
  EXPECT_EQ(other.on(two).sends(parse("theirs", "SELECT 1") + sync()),
            parse("mr_1", "SELECT 1") + describe_statement("mr_1") + sync());
  other.hears(parsed() + parameter_types() + columns() + ready());
  EXPECT_EQ(other.sends(bind("theirs") + sync()), bind("mr_1") + sync());
  other.hears(bound() + ready());
  EXPECT_EQ(client.on(two).sends(bind("mine") + sync()), bind("mr_1") + sync());
  client.hears(bound() + ready());
}

class RelayTwins : public RelayPrepared {
 protected:
  Client other{world, Mode::transaction};

  /// Both prepare the text on one server connection; the first was told its columns.
  void SetUp() override {
    RelayPrepared::SetUp();
    client.sends(parse("mine", "SELECT 1") + describe_statement("mine") + sync());
    client.hears(parsed() + parameter_types() + columns() + ready());
    EXPECT_EQ(other.on(one).sends(parse("theirs", "SELECT 1") + sync()),
              parse("mr_2", "SELECT 1") + describe_statement("mr_2") + sync());
  }
};

TEST_F(RelayTwins, EachHearsFromTheServerWhetherItCanBePreparedNow) {
  EXPECT_EQ(other.hears(parsed() + parameter_types() + columns() + ready()), parsed() + ready());
  EXPECT_EQ(other.sends(bind("theirs") + sync()), close_statement("mr_2") + bind("mr_1") + sync())
      << "it is the same, so one is enough";
  EXPECT_EQ(other.hears(closed() + bound() + ready()), bound() + ready());
  EXPECT_EQ(client.on(one).sends(bind("mine") + sync()), bind("mr_1") + sync());
}

TEST_F(RelayTwins, WhatCanNoLongerBePreparedStaysForThoseThatHaveIt) {
  const std::string refusal = error("22P02", "invalid input value for enum") + ready();
  EXPECT_EQ(other.hears(refusal), refusal);
  EXPECT_EQ(client.on(one).sends(bind("mine") + sync()), bind("mr_1") + sync());
  client.hears(bound() + ready());
  EXPECT_EQ(other.on(one).sends(bind("theirs")), bind("theirs")) << "it was never prepared";
}

TEST_F(RelayTwins, WhatIsNoLongerTheSameIsAnotherStatement) {
  EXPECT_EQ(other.hears(parsed() + parameter_types() + no_data() + ready()), parsed() + ready());
  EXPECT_EQ(other.sends(bind("theirs") + sync()), bind("mr_2") + sync());
  other.hears(bound() + ready());
  EXPECT_EQ(client.on(one).sends(bind("mine") + sync()), bind("mr_1") + sync());
  Client third(world, Mode::transaction);
  EXPECT_EQ(third.on(two).sends(parse("s", "SELECT 1")), parse("mr_2", "SELECT 1") + describe_statement("mr_2"))
      << "who comes later shares the new one";
}

TEST_F(RelayPrepared, SettingsThatDecideWhatATextMeansBelongToIt) {
  const std::string_view sql = "SELECT '01/02/2024'::date";
  client.prepares("s", sql);
  Client other(world, Mode::transaction);
  other.on(one).asks("SET datestyle = 'DMY'", "SET");
  EXPECT_EQ(other.sends(parse("s", sql) + sync()), parse("mr_2", sql) + sync());
  other.hears(parsed() + ready());
  EXPECT_EQ(other.sends(bind("s")), bind("mr_2"));
  EXPECT_EQ(client.on(one).sends(bind("s")), bind("mr_1"));
}

TEST_F(RelayPrepared, ASettingThatIsUnderWayMayDecideIt) {
  const std::string_view sql = "SELECT '01/02/2024'::date";
  client.prepares("s", sql);
  Client other(world, Mode::transaction);
  other.on(one);
  EXPECT_EQ(other.sends(query("SET datestyle = 'DMY'") + parse("s", sql)),
            query("SET datestyle = 'DMY'") + parse("mr_2", sql));
  EXPECT_FALSE(other.relay.pinned().empty());
}

TEST_F(RelayPrepared, AChangeOfSettingsLeavesWhatWasPreparedBefore) {
  const std::string_view sql = "SELECT '01/02/2024'::date";
  client.prepares("s", sql);
  client.prepares("without_constants", "SELECT 1");
  client.on(two);
  EXPECT_EQ(client.sends(query("SET datestyle = 'DMY'")), parse("mr_1", sql) + sync() + query("SET datestyle = 'DMY'"));
  EXPECT_FALSE(client.relay.pinned().empty());
}

TEST_F(RelayPrepared, NamesAreLookedUpUnderTheSearchPathOfTheMoment) {
  client.prepares("s", "SELECT a FROM t");
  client.asks("SET search_path = b", "SET");
  EXPECT_EQ(client.sends(bind("s") + sync()), parse("mr_2", "SELECT a FROM t") + bind("mr_2") + sync());
  client.hears(parsed() + bound() + ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayPrepared, TheSameTextWithOtherTypesIsAnotherStatement) {
  std::string with_type;
  pgwire::append_parse(with_type, "b", "SELECT $1", std::array{23U});
  client.prepares("a", "SELECT $1");
  client.sends(with_type + sync());
  client.hears(parsed() + ready());
  EXPECT_EQ(client.sends(bind("a") + bind("b")), bind("mr_1") + bind("mr_2"));
}

TEST_F(RelayPrepared, AClosedStatementStaysForOthers) {
  client.prepares("s", "SELECT 1");
  EXPECT_EQ(client.sends(close_statement("s") + sync()), close_statement("s") + sync());
  EXPECT_EQ(client.hears(closed() + ready()), closed() + ready());
  EXPECT_EQ(one.prepared.size(), 1U);
  EXPECT_EQ(client.sends(bind("s") + sync()), bind("s") + sync()) << "the server says that there is none";
}

TEST_F(RelayPrepared, CloseAndParseOfOneNameInABatch) {
  client.prepares("s", "SELECT 1");
  EXPECT_EQ(client.sends(close_statement("s") + parse("s", "SELECT 2") + bind("s") + execute() + sync()),
            close_statement("s") + parse("mr_2", "SELECT 2") + bind("mr_2") + execute() + sync());
  const std::string answer = closed() + parsed() + bound() + complete("SELECT 1") + ready();
  EXPECT_EQ(client.hears(answer), answer);
}

TEST_F(RelayPrepared, ANameThatIsTakenIsRefusedByTheServer) {
  client.prepares("s", "SELECT 1");
  // It is read and analysed before its name is looked at.
  EXPECT_EQ(client.sends(parse("s", "SELECT 2") + sync()),
            parse("mr_2", "SELECT 2") + describe_statement("mr_0") + sync());
  std::string refusal;
  pgwire::append_error_response(refusal, "ERROR",
                                Error{.message = "prepared statement \"s\" already exists", .sqlstate = "42P05"});
  EXPECT_EQ(client.hears(parsed() + error("26000", "prepared statement \"mr_0\" does not exist") + ready()),
            refusal + ready());
  EXPECT_FALSE(one.tainted);
  EXPECT_EQ(client.sends(bind("s") + sync()), close_statement("mr_2") + bind("mr_1") + sync())
      << "the first one is still there";
  client.hears(closed() + bound() + ready());
  const std::string not_sql = error("42601", "syntax error") + ready();
  client.sends(parse("s", "SELEC") + sync());
  EXPECT_EQ(client.hears(not_sql), not_sql);
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayPrepared, WhatDependsOnABatchThatMayFailWaitsForItsAnswer) {
  client.prepares("s", "SELECT 1");
  const std::string failing = bind("nobody");
  const std::string first = failing + parse("t", "SELECT 2") + close_statement("s") + sync();
  for (const auto& second :
       {bind("t"), bind("s"), describe_statement("t"), parse("t", "SELECT 3"), close_statement("t")}) {
    const std::string both = first + second + sync();
    auto step = client.relay.from_client(bytes_of(both), ++client.now);
    EXPECT_EQ(step.next, Relay::Next::answer);
    EXPECT_EQ(step.used, first.size());
    EXPECT_TRUE(client.relay.asking());
    client.hears(error("26000", "prepared statement \"nobody\" does not exist") + ready());
    EXPECT_FALSE(client.relay.asking());
    client.sends(second + sync());
    client.hears(error("26000", "or whatever") + ready());
    if (second == bind("s")) client.on(two).on(one);
  }
}

TEST_F(RelayPrepared, WhatDoesNotDependOnItDoesNotWait) {
  const std::string one_query = parse("", "SELECT 1") + bind("") + execute() + sync();
  EXPECT_EQ(client.sends(one_query + one_query + query("SELECT 2") + one_query),
            one_query + one_query + query("SELECT 2") + one_query);
}

TEST_F(RelayPrepared, AFailedParseIsForgotten) {
  client.sends(parse("s", "SELECT nothing") + sync());
  client.hears(error("42703", "column \"nothing\" does not exist") + ready());
  EXPECT_TRUE(one.prepared.empty());
  EXPECT_EQ(client.sends(parse("s", "SELECT 1") + sync()), parse("mr_2", "SELECT 1") + sync());
}

TEST_F(RelayPrepared, AnErrorUndoesWhatTheServerSkips) {
  client.prepares("kept", "SELECT 1");
  client.sends(parse("bad", "SELEC") + parse("skipped", "SELECT 2") + close_statement("kept") + bind("skipped") +
               sync());
  client.hears(error("42601", "syntax error") + ready());
  client.sends(bind("kept") + sync());
  client.hears(bound() + ready());
  EXPECT_EQ(one.prepared.size(), 1U);
  EXPECT_TRUE(client.relay.releasable());
  EXPECT_EQ(client.sends(bind("kept") + bind("skipped")), bind("mr_1") + bind("skipped"));
}

TEST_F(RelayPrepared, AnErrorUndoesTheRenewalOfAStatement) {
  client.prepares("a", "SELECT 1");
  EXPECT_EQ(client.sends(bind("nobody") + parse("b", "SELECT 1") + sync()),
            bind("nobody") + parse("mr_2", "SELECT 1") + describe_statement("mr_2") + sync());
  client.hears(error("26000", "prepared statement \"nobody\" does not exist") + ready());
  EXPECT_TRUE(one.prepared.contains(1));
  EXPECT_EQ(client.sends(bind("a")), bind("mr_1"));
}

TEST_F(RelayPrepared, WhatFollowsAnErrorIsSkippedUpToSync) {
  client.sends(bind("nobody") + flush());
  client.hears(error("26000", "prepared statement \"nobody\" does not exist"));
  EXPECT_EQ(client.sends(parse("s", "SELECT 1") + execute()), parse("s", "SELECT 1") + execute());
  EXPECT_FALSE(client.relay.releasable());
  EXPECT_FALSE(client.relay.query_under_way());
  client.sends(sync());
  client.hears(ready());
  EXPECT_TRUE(client.relay.releasable());
  EXPECT_EQ(client.sends(bind("s")), bind("s")) << "it was never prepared";
}

TEST_F(RelayPrepared, ErrorsSpeakOfTheClientsName) {
  client.prepares("s", "SELECT 1");
  client.sends(bind("s") + sync());
  EXPECT_EQ(client.hears(error("08P01", "prepared statement \"mr_1\" requires 0") + ready()),
            error("08P01", "prepared statement \"s\" requires 0") + ready());
}

TEST_F(RelayPrepared, AnErrorLongerThanWhatIsReadKeepsItsLength) {
  client.prepares("s", "SELECT 1");
  client.sends(bind("s") + sync());
  const std::string tail(200'000, 'x');
  const std::string given = error("22P02", "\"mr_1\" " + tail);
  const std::string wanted = error("22P02", "\"s\" " + tail);
  std::string heard = client.hears(std::string_view(given).substr(0, 100'000));
  heard += client.hears(std::string_view(given).substr(100'000));
  EXPECT_TRUE(heard == wanted || heard == given) << heard.size();
}

TEST_F(RelayPrepared, AStatementThatTheServerLostIsPreparedAgain) {
  client.prepares("s", "SELECT 1");
  client.sends(bind("s") + sync());
  client.hears(error("26000", "prepared statement \"mr_1\" does not exist") + ready());
  EXPECT_EQ(client.sends(bind("s")), parse("mr_1", "SELECT 1") + bind("mr_1"));
}

TEST_F(RelayPrepared, TheUnnamedStatementFollowsToo) {
  client.sends(parse("", "SELECT 1") + sync());
  client.hears(parsed() + ready());
  EXPECT_EQ(client.sends(bind("") + sync()), bind("") + sync());
  client.hears(bound() + ready());
  client.on(two);
  EXPECT_EQ(client.sends(bind("") + sync()), parse("", "SELECT 1") + bind("") + sync());
  EXPECT_EQ(client.hears(parsed() + bound() + ready()), bound() + ready());
}

TEST_F(RelayPrepared, NobodyUsesAnothersUnnamedStatement) {
  Client other(world, Mode::transaction);
  other.on(one);
  other.sends(parse("", "SELECT secret") + sync());
  other.hears(parsed() + ready());
  client.on(one);
  EXPECT_EQ(client.sends(bind("") + sync()), close_statement("") + bind("") + sync());
  const std::string refusal = error("26000", "unnamed prepared statement does not exist") + ready();
  EXPECT_EQ(client.hears(closed() + refusal), refusal);
}

TEST_F(RelayPrepared, NobodyUsesAnothersUnnamedStatementAfterAnError) {
  const std::string failing = bind("nobody");
  for (const auto& skipped : {bind(""), parse("", "SELECT 1"), close_statement(""), query("SELECT 1")}) {
    World fresh;
    Server server;
    Client owner(fresh, Mode::transaction);
    owner.on(server);
    owner.sends(parse("", "SELECT secret") + sync());
    owner.hears(parsed() + ready());

    Client stranger(fresh, Mode::transaction);
    stranger.on(server);
    stranger.sends(failing + skipped + sync());
    stranger.hears(error("26000", "prepared statement \"nobody\" does not exist") + ready());
    EXPECT_EQ(stranger.sends(bind("")), close_statement("") + bind("")) << skipped;
  }
}

TEST_F(RelayPrepared, TheUnnamedStatementHasNothingToDoWithANamedOneOfTheSameText) {
  client.prepares("s", "SELECT 1");
  client.sends(bind("nobody") + parse("", "SELECT 1") + sync());
  client.hears(error("26000", "prepared statement \"nobody\" does not exist") + ready());
  EXPECT_EQ(client.sends(bind("s") + sync()), bind("mr_1") + sync());
}

TEST_F(RelayPrepared, ASimpleQueryDropsTheUnnamedStatement) {
  client.sends(parse("", "SELECT 1") + sync());
  client.hears(parsed() + ready());
  client.asks("SELECT 2", "SELECT 1");
  client.on(two);
  EXPECT_EQ(client.sends(bind("")), bind(""));
}

TEST_F(RelayPrepared, DeallocateKnowsTheClientsNames) {
  client.prepares("s", "SELECT 1");
  client.on(two);
  EXPECT_EQ(client.sends(query("DEALLOCATE s")), close_statement("s") + parse("s", "") + query("DEALLOCATE s") + sync())
      << "it may be there from one that failed";
  const std::string answer = complete("DEALLOCATE") + ready();
  EXPECT_EQ(client.hears(closed() + parsed() + answer + ready()), answer);
  EXPECT_EQ(client.sends(bind("s")), bind("s"));
}

TEST_F(RelayPrepared, ExecuteKnowsTheClientsNames) {
  client.prepares("s", "SELECT 1");
  client.on(two);
  EXPECT_EQ(client.sends(query("EXECUTE s")),
            close_statement("s") + parse("s", "SELECT 1") + query("EXECUTE s") + sync());
  const std::string answer = columns() + row("1") + complete("SELECT 1") + ready();
  EXPECT_EQ(client.hears(closed() + parsed() + answer + ready()), answer);
  EXPECT_FALSE(client.relay.releasable()) << "the server connection has it by the client's name";
  EXPECT_EQ(client.sends(bind("s")), bind("s"));
}

TEST_F(RelayPrepared, WhatExecuteCannotBeGivenFailsIt) {
  client.prepares("s", "SELECT a FROM t");
  client.on(two);
  client.sends(query("EXECUTE s"));
  const std::string refusal = error("42P01", "relation \"t\" does not exist") + ready();
  EXPECT_EQ(client.hears(closed() + refusal), refusal);
  EXPECT_FALSE(client.relay.query_under_way());
}

TEST_F(RelayPrepared, DeallocateAllForgetsThem) {
  client.prepares("s", "SELECT 1");
  client.asks("DEALLOCATE ALL", "DEALLOCATE ALL");
  EXPECT_TRUE(one.prepared.empty());
  EXPECT_EQ(client.sends(bind("s")), bind("s"));
}

TEST_F(RelayPrepared, WhatIsPreparedRightAfterDeallocateAllStays) {
  client.prepares("s", "SELECT 1");
  const std::string before = parse("", "DEALLOCATE ALL") + bind("") + execute();
  const std::string both = before + parse("t", "SELECT 2") + sync();
  const auto step = client.relay.from_client(bytes_of(both), ++client.now);
  EXPECT_EQ(step.next, Relay::Next::answer) << "it may fail, or be a part of what does";
  EXPECT_EQ(string_of(step.forward), before + flush());
  client.hears(parsed() + bound() + complete("DEALLOCATE ALL"));
  client.sends(both.substr(step.used));
  client.hears(parsed() + ready());
  EXPECT_EQ(client.sends(bind("t")), bind("mr_3"));
}

TEST_F(RelayPrepared, AServerConnectionKeepsSoManyStatements) {
  for (int i = 0; i < 1000; ++i) client.prepares(fmt::format("s{}", i), fmt::format("SELECT {} AS c{}", i, i));
  EXPECT_EQ(one.prepared.size(), 1000U);
  client.sends(bind("s0") + sync());
  client.hears(bound() + ready());
  // The least used goes.
  EXPECT_EQ(client.sends(parse("more", "SELECT 'more'") + sync()),
            close_statement("mr_2") + parse("mr_1001", "SELECT 'more'") + sync());
  EXPECT_EQ(client.hears(closed() + parsed() + ready()), parsed() + ready());
  EXPECT_EQ(one.prepared.size(), 1000U);
}

TEST_F(RelayPrepared, AQueryInAnOpenBatchIsAnsweredThoughItsNamesCannotBeGiven) {
  client.prepares("s", "SELECT * FROM t");
  client.sends(parse("", "DROP TABLE t") + bind("") + execute());
  auto step = client.relay.from_client(bytes_of(query("EXECUTE s")), ++client.now);
  EXPECT_EQ(step.next, Relay::Next::answer);
  EXPECT_EQ(string_of(step.forward), flush());
  client.hears(parsed() + bound() + complete("DROP TABLE"));
  EXPECT_EQ(client.sends(query("EXECUTE s")),
            close_statement("s") + parse("s", "SELECT * FROM t") + query("EXECUTE s") + sync());
  const std::string refused = error("42P01", "relation \"t\" does not exist") + ready();
  EXPECT_EQ(client.hears(closed() + refused), refused);
  EXPECT_TRUE(client.relay.idle());

  client.sends(parse("", "SELECT 1") + bind("") + execute());
  client.relay.from_client(bytes_of(query("EXECUTE s")), ++client.now);
  client.hears(parsed() + bound() + complete("SELECT 1"));
  client.sends(query("EXECUTE s"));
  const std::string answer = complete("SELECT 1") + ready();
  EXPECT_EQ(client.hears(closed() + parsed() + answer + ready()), answer);
  EXPECT_TRUE(client.relay.idle());
}

TEST_F(RelayPrepared, AQueryInABatchThatFailsIsSkipped) {
  for (const Mode mode : {Mode::session, Mode::transaction}) {
    Server server;
    Client fresh(world, mode);
    fresh.on(server);
    fresh.sends(parse("", "SELEC") + query("SELECT 1"));
    const std::string refusal = error("42601", "syntax error");
    EXPECT_EQ(fresh.hears(refusal), refusal);
    EXPECT_FALSE(fresh.relay.releasable());
    EXPECT_FALSE(fresh.relay.idle());
    EXPECT_EQ(fresh.relay.ending(), sync());
    EXPECT_EQ(fresh.hears(ready()), "");
    EXPECT_TRUE(fresh.relay.idle());
  }
}

TEST_F(RelayPrepared, ATextThatBeginsATransactionIsGivenItsNamesBefore) {
  client.prepares("s", "SELECT 1");
  client.on(two);
  const std::string text = query("BEGIN ISOLATION LEVEL SERIALIZABLE; EXECUTE s");
  EXPECT_EQ(client.sends(text), close_statement("s") + parse("s", "SELECT 1") + sync() + text);
}

TEST_F(RelayPrepared, WhatWasNotClosedAfterAllIsStillThere) {
  for (int i = 0; i < 1000; ++i) client.prepares(fmt::format("s{}", i), fmt::format("SELECT {} AS c{}", i, i));
  client.sends(bind("nobody") + parse("more", "SELECT 'more'") + sync());
  client.hears(error("26000", "prepared statement \"nobody\" does not exist") + ready());
  EXPECT_EQ(client.sends(bind("s0")), bind("mr_1")) << "closing it was skipped";
}

TEST_F(RelayPrepared, MalformedMessagesGoToTheServerToBeRefused) {
  for (const auto type : {'P', 'B', 'D', 'E', 'C'}) {
    World fresh;
    Server server;
    Client strange(fresh, Mode::transaction);
    strange.on(server);
    const std::string bytes = std::string(1, type) + std::string("\0\0\0\6xy", 6) + sync();
    EXPECT_EQ(strange.sends(bytes), bytes);
    strange.hears(error("08P01", "invalid message format") + ready());
    EXPECT_TRUE(strange.relay.releasable());
  }
}

TEST_F(RelayPrepared, EndlessNamesAreRefused) {
  using namespace std::string_literals;
  const std::string bytes = "B\0\x10\0\0"s + std::string(70'000, 'x');
  const auto step = client.relay.from_client(bytes_of(bytes), 1);
  EXPECT_EQ(step.next, Relay::Next::broken);
  EXPECT_EQ(client.relay.error().sqlstate, "54000");
}

}  // namespace
}  // namespace millrace::gateway
