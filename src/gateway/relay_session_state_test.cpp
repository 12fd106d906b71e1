// What ties a client to its server connection, and what it may take along to another.
#include "gateway/relay_test.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;

class RelayState : public testing::Test {
 protected:
  World world;
  Server one;
  Client client{world, Mode::transaction};

  void SetUp() override { client.on(one); }

  /// As "name {text}; ...", in order.
  std::string settings() const {
    std::string out;
    if (!client.relay.settings().current()) return out;
    for (const auto& change : *client.relay.settings().current()) {
      if (!out.empty()) out += "; ";
      out += change.name + " {" + change.text + "}";
    }
    return out;
  }
};

TEST_F(RelayState, ASessionKeepsItsServerConnection) {
  Client session(world, Mode::session);
  session.on(one);
  session.asks("SELECT 1", "SELECT 1");
  EXPECT_TRUE(session.relay.idle());
  EXPECT_FALSE(session.relay.releasable());
}

TEST_F(RelayState, WhatAClientStartedWithOutlivesAReset) {
  for (const Mode mode : {Mode::session, Mode::transaction}) {
    Server server;
    Client named(world, mode);
    const auto start = std::make_shared<const backend::Settings>(
        backend::Settings{{"application_name", "SET application_name TO 'mine'"}});
    named.relay.settings().start_with(start);
    server.settings = start;
    named.on(server);
    named.relay.application = "mine";
    named.asks("SET application_name = 'other'", "SET");
    for (const auto* sql : {"RESET ALL", "RESET application_name", "DISCARD ALL"}) {
      EXPECT_EQ(named.sends(query(sql) + query("SELECT 1")),
                query(sql) + query("SET application_name TO 'mine'") + query("SELECT 1"));
      const std::string answer = complete("SELECT 1") + ready();
      EXPECT_EQ(named.hears(parameter("application_name", "") + complete(sql) + ready() +
                            parameter("application_name", "mine") + complete("SET") + ready() + answer),
                parameter("application_name", "mine") + complete(sql) + ready() + answer)
          << "as if it had been the server's";
      EXPECT_EQ(*named.relay.settings().current(), *start);
      EXPECT_EQ(server.settings, named.relay.settings().current());
      named.sends(query("SET application_name = 'other'"));
      named.hears(parameter("application_name", "other") + complete("SET") + ready());
    }
    EXPECT_EQ(world.monitor.snapshot().queries(), mode == Mode::session ? 10U : 20U) << "what is ours isn't recorded";
  }
}

TEST_F(RelayState, AResetInABatchIsFollowedByTheStartInIt) {
  client.relay.settings().start_with(std::make_shared<const backend::Settings>(
      backend::Settings{{"application_name", "SET application_name TO 'mine'"}}));
  const std::string own = world.texts.own_name();
  EXPECT_EQ(client.sends(parse("", "RESET ALL") + bind("") + execute() + sync()),
            parse("", "RESET ALL") + bind("") + execute() + close_statement(own) +
                parse(own, "SET application_name TO 'mine'") + wire::bind(own, own) + execute(own) + close_portal(own) +
                close_statement(own) + sync());
  EXPECT_EQ(client.hears(parsed() + bound() + complete("RESET") + closed() + parsed() + bound() + complete("SET") +
                         closed() + closed() + ready()),
            parsed() + bound() + complete("RESET") + ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, ATransactionKeepsItsServerConnection) {
  EXPECT_TRUE(client.relay.releasable());
  client.asks("BEGIN", "BEGIN", 'T');
  EXPECT_FALSE(client.relay.releasable());
  client.sends(query("SELEC"));
  client.hears(error("42601", "syntax error") + ready('E'));
  EXPECT_FALSE(client.relay.releasable());
  client.asks("COMMIT", "ROLLBACK");
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, ABatchKeepsItsServerConnectionUntilSyncIsAnswered) {
  client.sends(parse("", "SELECT 1") + bind("") + execute() + flush());
  client.hears(parsed() + bound() + complete("SELECT 1"));
  EXPECT_FALSE(client.relay.query_under_way());
  EXPECT_FALSE(client.relay.releasable());
  client.sends(sync());
  EXPECT_FALSE(client.relay.releasable());
  client.hears(ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, AMessageInPartsKeepsTheServerConnection) {
  client.sends(query("COPY t FROM STDIN"));
  client.hears(copy_in());
  const std::string data = copy_data("123456");
  client.sends(std::string_view(data).substr(0, 8));
  EXPECT_TRUE(client.relay.client_mid_message());
  // The server gives up before it is all there.
  client.hears(error("22P02", "invalid input syntax") + ready());
  EXPECT_FALSE(client.relay.releasable());
  client.sends(std::string_view(data).substr(8));
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, CopyDataThatComesAfterItsErrorIsPassedOn) {
  client.sends(query("COPY t FROM STDIN"));
  client.hears(copy_in() + error("22P02", "invalid input syntax") + ready());
  EXPECT_FALSE(client.relay.in_copy());
  const std::string late = copy_data("1\n") + copy_done();
  EXPECT_EQ(client.sends(late), late);
  EXPECT_TRUE(client.relay.releasable());
  client.asks("SELECT 1", "SELECT 1");
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, ASyncAmongCopyDataIsIgnoredByTheServer) {
  // Drivers send Sync with Execute, before they know that it is a COPY.
  client.sends(parse("", "COPY t FROM STDIN") + bind("") + execute() + sync());
  client.hears(parsed() + bound() + copy_in());
  EXPECT_TRUE(client.relay.in_copy());
  client.sends(copy_data("1\n") + flush() + sync() + copy_data("2\n") + copy_done());
  EXPECT_FALSE(client.relay.in_copy());
  client.hears(complete("COPY 2"));
  EXPECT_FALSE(client.relay.releasable()) << "Sync is still to come";
  client.sends(sync());
  client.hears(ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, ASyncThatMayYetBeAnsweredTaintsTheServerConnection) {
  client.sends(parse("", "COPY t FROM STDIN") + bind("") + execute() + flush());
  client.hears(parsed() + bound() + copy_in());
  EXPECT_FALSE(one.tainted);
  client.sends(sync());
  EXPECT_TRUE(one.tainted) << "if COPY has failed meanwhile, it answers this Sync, too";
}

TEST_F(RelayState, CopyInThatWasSentInOneGo) {
  client.sends(parse("", "COPY t FROM STDIN") + bind("") + execute() + sync() + copy_data("1\n") + copy_done() +
               sync());
  client.hears(parsed() + bound() + copy_in());
  EXPECT_FALSE(client.relay.in_copy());
  client.hears(complete("COPY 1") + ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, CopyInOfASimpleQueryThatWasSentInOneGo) {
  client.sends(query("COPY t FROM STDIN") + sync() + copy_data("1\n") + copy_fail());
  client.hears(copy_in() + error("57014", "COPY from stdin failed") + ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, ASyncThatTheErrorOvertakesIsAnswered) {
  client.sends(parse("", "COPY t FROM STDIN") + bind("") + execute() + sync());
  client.hears(parsed() + bound() + error("42P01", "relation \"t\" does not exist") + ready());
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, WhatStaysOnTheServerConnectionPins) {
  for (const auto* sql : {"CREATE TEMP TABLE t (a int)", "LISTEN c", "SELECT pg_advisory_lock(1)",
                          "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "PREPARE p AS SELECT 1", "LOAD 'x'"}) {
    Server server;
    Client strange(world, Mode::transaction);
    strange.on(server);
    EXPECT_TRUE(strange.relay.pinned().empty());
    strange.asks(sql, "X");
    EXPECT_FALSE(strange.relay.pinned().empty()) << sql;
    EXPECT_TRUE(strange.relay.idle());
    EXPECT_FALSE(strange.relay.releasable());
  }
}

TEST_F(RelayState, APreparedStatementPinsWhenItIsExecuted) {
  client.prepares("s", "LISTEN c");
  EXPECT_TRUE(client.relay.releasable());
  client.sends(bind("s", "p") + execute("p") + sync());
  client.hears(bound() + complete("LISTEN") + ready());
  EXPECT_EQ(client.relay.pinned(), "listen");
}

TEST_F(RelayState, AFunctionCallPins) {
  client.sends(function_call());
  client.hears(function_result() + ready());
  EXPECT_FALSE(client.relay.releasable());
}

TEST_F(RelayState, AStatementThatOnlyTheServerUnderstandsPins) {
  client.sends(query("MAKE SENSE"));
  client.hears(error("42601", "syntax error") + ready());
  EXPECT_TRUE(client.relay.releasable());
  client.asks("MAKE SENSE", "MAKE");
  EXPECT_FALSE(client.relay.releasable());
}

TEST_F(RelayState, DiscardAllUnpins) {
  client.asks("LISTEN c", "LISTEN");
  client.asks("SET work_mem = '1MB'", "SET");
  client.prepares("s", "SELECT 1");
  client.asks("DISCARD ALL", "DISCARD ALL");
  EXPECT_TRUE(client.relay.releasable());
  EXPECT_EQ(settings(), "");
  EXPECT_EQ(client.sends(bind("s")), bind("s"));
}

TEST_F(RelayState, DiscardAllLeavesWhatWasSentAfterIt) {
  client.asks("LISTEN c", "LISTEN");
  client.sends(query("DISCARD ALL") + query("LISTEN d"));
  client.hears(complete("DISCARD ALL") + ready() + complete("LISTEN") + ready());
  EXPECT_FALSE(client.relay.releasable());
}

TEST_F(RelayState, SettingsAreTrackedInTheOrderOfTheLastChange) {
  client.asks("SET work_mem = '1MB'", "SET");
  client.asks("SET search_path = a, b", "SET");
  client.asks("SET work_mem = '2MB'", "SET");
  EXPECT_EQ(settings(), "search_path {SET search_path = a, b}; work_mem {SET work_mem = '2MB'}");
  EXPECT_TRUE(client.relay.releasable());
  EXPECT_EQ(one.settings, client.relay.settings().current());
  client.asks("RESET work_mem", "RESET");
  EXPECT_EQ(settings(), "search_path {SET search_path = a, b}");
  client.asks("RESET ALL", "RESET");
  EXPECT_FALSE(client.relay.settings().current());
}

TEST_F(RelayState, ResetAllKeepsTheRole) {
  client.asks("SET ROLE r", "SET");
  client.asks("SET work_mem = '1MB'", "SET");
  client.asks("RESET ALL", "RESET");
  EXPECT_EQ(settings(), "role {SET ROLE r}");
}

TEST_F(RelayState, DateStylesThatComeAgainDoNotPileUp) {
  for (int round = 0; round < 3; ++round) {
    client.asks("SET datestyle = 'ISO'", "SET");
    client.asks("SET datestyle = 'DMY'", "SET");
  }
  EXPECT_EQ(settings(), "datestyle {SET datestyle = 'ISO'; SET datestyle = 'DMY'}");
}

TEST_F(RelayState, DateStylesAddUp) {
  client.asks("SET datestyle = 'German'", "SET");
  client.asks("SET datestyle = 'YMD'", "SET");
  EXPECT_EQ(settings(), "datestyle {SET datestyle = 'German'; SET datestyle = 'YMD'}");
}

TEST_F(RelayState, ASettingThatFailedIsNotTracked) {
  client.sends(query("SET work_mem = 'x'"));
  client.hears(error("22023", "invalid value") + ready());
  EXPECT_EQ(settings(), "");
}

TEST_F(RelayState, SetLocalIsNotTracked) {
  client.asks("BEGIN", "BEGIN", 'T');
  client.asks("SET LOCAL work_mem = '1MB'", "SET", 'T');
  client.asks("COMMIT", "COMMIT");
  EXPECT_EQ(settings(), "");
}

TEST_F(RelayState, SettingsTakeEffectWithTheirTransaction) {
  client.asks("BEGIN", "BEGIN", 'T');
  client.asks("SET work_mem = '1MB'", "SET", 'T');
  EXPECT_EQ(settings(), "");
  client.asks("COMMIT", "COMMIT");
  EXPECT_EQ(settings(), "work_mem {SET work_mem = '1MB'}");
}

TEST_F(RelayState, RollbackDropsThem) {
  client.asks("BEGIN", "BEGIN", 'T');
  client.asks("SET work_mem = '1MB'", "SET", 'T');
  client.asks("ROLLBACK", "ROLLBACK");
  EXPECT_EQ(settings(), "");

  client.asks("BEGIN", "BEGIN", 'T');
  client.asks("SET work_mem = '1MB'", "SET", 'T');
  client.sends(query("SELEC"));
  client.hears(error("42601", "syntax error") + ready('E'));
  client.asks("COMMIT", "ROLLBACK");
  EXPECT_EQ(settings(), "");
}

TEST_F(RelayState, ABatchIsOneTransaction) {
  const auto run = [](std::string_view sql) { return parse("", sql) + bind("") + execute(); };
  const auto done = [](std::string_view tag) { return parsed() + bound() + complete(tag); };
  client.sends(run("SET work_mem = '1MB'") + run("SELECT 1/0") + sync());
  client.hears(done("SET") + parsed() + bound() + error("22012", "division by zero") + ready());
  EXPECT_EQ(settings(), "");

  client.sends(run("BEGIN") + run("SET work_mem = '2MB'") + run("ROLLBACK") + sync());
  client.hears(done("BEGIN") + done("SET") + done("ROLLBACK") + ready());
  EXPECT_EQ(settings(), "");

  client.sends(run("BEGIN") + run("SET work_mem = '3MB'") + run("COMMIT") + run("SELECT 1/0") + sync());
  client.hears(done("BEGIN") + done("SET") + done("COMMIT") + parsed() + bound() + error("22012", "division by zero") +
               ready());
  EXPECT_EQ(settings(), "work_mem {SET work_mem = '3MB'}");

  client.sends(run("BEGIN") + run("SET work_mem = '4MB'") + run("COMMIT") + run("BEGIN") + run("ROLLBACK") + sync());
  client.hears(done("BEGIN") + done("SET") + done("COMMIT") + done("BEGIN") + done("ROLLBACK") + ready());
  EXPECT_EQ(settings(), "work_mem {SET work_mem = '4MB'}");
}

TEST_F(RelayState, RollbackToASavepointAfterSetPins) {
  client.asks("BEGIN", "BEGIN", 'T');
  client.asks("SAVEPOINT a", "SAVEPOINT", 'T');
  client.asks("SET work_mem = '1MB'", "SET", 'T');
  client.asks("ROLLBACK TO a", "ROLLBACK", 'T');
  client.asks("COMMIT", "COMMIT");
  EXPECT_FALSE(client.relay.releasable()) << "nobody knows which settings were rolled back";
}

TEST_F(RelayState, SettingsOfSeveralStatementsInOneText) {
  client.sends(query("SET work_mem = '1MB'; SELECT 1; RESET a"));
  client.hears(complete("SET") + columns() + complete("SELECT 0") + complete("RESET") + ready());
  EXPECT_EQ(settings(), "work_mem {SET work_mem = '1MB'}");
  client.sends(query("SET work_mem = '2MB'; SELEC"));
  client.hears(error("42601", "syntax error") + ready());
  EXPECT_EQ(settings(), "work_mem {SET work_mem = '1MB'}");
  client.sends(query("BEGIN; SET work_mem = '3MB'; ROLLBACK"));
  client.hears(complete("BEGIN") + complete("SET") + complete("ROLLBACK") + ready());
  EXPECT_FALSE(client.relay.releasable());
}

TEST_F(RelayState, CustomSettingsAreTrackedAndLeaveTheirNames) {
  client.asks("SET app.tenant = '7'", "SET");
  EXPECT_EQ(settings(), "app.tenant {SET app.tenant = '7'}");
  client.asks("BEGIN", "BEGIN", 'T');
  client.asks("SELECT set_config('App.User', 'ada', true)", "SELECT 1", 'T');
  client.asks("ROLLBACK", "ROLLBACK");
  ASSERT_TRUE(one.placeholders);
  EXPECT_EQ(*one.placeholders, (std::vector<std::string>{"app.tenant", "app.user"}));
  EXPECT_EQ(client.relay.settings().placeholders(), one.placeholders);
  EXPECT_FALSE(one.tainted);
  EXPECT_TRUE(client.relay.releasable());
}

TEST_F(RelayState, CustomSettingsThatNobodyKnowsTaint) {
  client.asks("BEGIN", "BEGIN", 'T');
  client.asks("SELECT set_config(a, 'ada', true) FROM t", "SELECT 1", 'T');
  EXPECT_TRUE(one.tainted);
}

TEST_F(RelayState, WhatDiscardAllLeavesTaints) {
  for (const auto* const sql : {"CREATE TEMP TABLE t (a int)", "CREATE TEMP VIEW v AS SELECT 1", "LOAD 'x'", "DO ''"}) {
    Server server;
    Client leaves(world, Mode::session);
    leaves.on(server);
    leaves.asks(sql, "DO");
    EXPECT_TRUE(server.tainted) << sql;
  }
}

TEST_F(RelayState, TooManyCustomSettingsTaint) {
  for (int i = 0; i < 100; ++i) client.asks(fmt::format("SET app.a{} = '7'", i), "SET");
  EXPECT_FALSE(one.tainted);
  client.asks("SET app.one_more = '7'", "SET");
  EXPECT_TRUE(one.tainted);
}

TEST_F(RelayState, WhoSetsACustomSettingFirstMayHaveAConnectionWithIt) {
  const std::string bytes = query("SET app.tenant = '7'");
  client.relay.detach();
  EXPECT_EQ(client.relay.from_client(bytes_of(bytes), 1).next, Relay::Next::need_server);
  ASSERT_TRUE(client.relay.settings().placeholders());
  EXPECT_EQ(client.relay.settings().placeholders()->front(), "app.tenant");
}

TEST_F(RelayState, ParametersAreThoseThatTheServerReports) {
  client.sends(query("SET TimeZone = 'UTC'"));
  const std::string answer = parameter("TimeZone", "UTC") + complete("SET") + ready();
  EXPECT_EQ(client.hears(answer), answer);
  EXPECT_EQ(client.relay.settings().parameters, one.parameters);
  EXPECT_EQ(client.relay.settings().parameters->back(), std::pair(std::string("TimeZone"), std::string("UTC")));
}

TEST_F(RelayState, TextsThatTheServerReadsInAnotherWayAreNotTrusted) {
  client.sends(query("SET standard_conforming_strings = off"));
  client.hears(parameter("standard_conforming_strings", "off") + complete("SET") + ready());
  // For the server this is one string; for the parser a LISTEN stands outside of it.
  client.asks("SELECT '\\'; LISTEN c; --'", "SELECT 1");
  EXPECT_FALSE(client.relay.releasable());
}

TEST_F(RelayState, ASettingThatIsUnderWayMayChangeHowTextsAreRead) {
  // For the server a SET stands outside of the string.
  client.sends(query("SET standard_conforming_strings = off") + query("SELECT '\\''; SET work_mem = 9216; --'"));
  client.hears(parameter("standard_conforming_strings", "off") + complete("SET") + ready());
  client.hears(columns() + complete("SELECT 0") + complete("SET") + ready());
  EXPECT_FALSE(client.relay.releasable());
}

TEST_F(RelayState, SequenceStateIsResetBeforeAnotherClientLooksAtIt) {
  Client other(world, Mode::transaction);
  other.on(one).asks("SELECT nextval('s')", "SELECT 1");
  client.on(one);
  EXPECT_EQ(client.sends(query("SELECT lastval()")), query("DISCARD SEQUENCES") + query("SELECT lastval()"));
  const std::string answer = error("55000", "lastval is not yet defined in this session") + ready();
  EXPECT_EQ(client.hears(complete("DISCARD SEQUENCES") + ready() + answer), answer);
  EXPECT_FALSE(client.relay.releasable());
}

TEST_F(RelayState, SequenceStateIsTheClientsOwnWhileNobodyElseHadTheConnection) {
  client.asks("SELECT nextval('s')", "SELECT 1");
  client.on(one);
  const std::string bytes = query("SELECT currval('s')");
  EXPECT_EQ(client.sends(bytes), bytes);
}

TEST_F(RelayState, StatementsThatChangeNewSessionsAreTold) {
  client.asks("SELECT 1", "SELECT 1");
  EXPECT_FALSE(client.relay.take_new_sessions_differ());
  client.asks("ALTER ROLE r SET work_mem = '1MB'", "ALTER ROLE");
  EXPECT_TRUE(client.relay.take_new_sessions_differ());
  EXPECT_FALSE(client.relay.take_new_sessions_differ());
  EXPECT_FALSE(client.relay.take_wants_no_idle_sessions());
  client.asks("DROP DATABASE d", "DROP DATABASE");
  EXPECT_TRUE(client.relay.take_wants_no_idle_sessions());
  EXPECT_FALSE(client.relay.take_wants_no_idle_sessions());
  EXPECT_FALSE(client.relay.take_new_sessions_differ());
}

TEST_F(RelayState, WhatAGoneClientLeftHalfDoneIsEnded) {
  EXPECT_EQ(client.relay.ending(), "");

  // A Sync of ours must not commit what the client sent none for.
  const std::string fails = describe_statement("mr_0") + sync();
  const std::string failed = error("26000", "prepared statement \"mr_0\" does not exist") + ready();
  client.sends(parse("", "INSERT INTO t VALUES (1)") + bind("") + execute() + flush());
  EXPECT_EQ(client.relay.ending(), fails);
  EXPECT_EQ(client.hears(parsed() + bound() + complete("INSERT 0 1") + failed),
            parsed() + bound() + complete("INSERT 0 1"));
  EXPECT_TRUE(client.relay.idle());

  client.sends(query("SELECT 1") + parse("", "INSERT INTO t VALUES (1)") + bind("") + execute());
  EXPECT_EQ(client.relay.ending(), fails);
  EXPECT_EQ(client.hears(complete("SELECT 1") + ready() + parsed() + bound() + complete("INSERT 0 1") + failed),
            complete("SELECT 1") + ready())
      << "without a Flush nothing would have come";
  EXPECT_TRUE(client.relay.idle());

  client.sends(bind("nobody"));
  client.hears(error("26000", "prepared statement \"nobody\" does not exist"));
  EXPECT_EQ(client.relay.ending(), sync());
  client.hears(ready());
  EXPECT_TRUE(client.relay.idle());

  std::string fail;
  pgwire::append_copy_fail(fail, "the client is gone");
  client.sends(query("COPY t FROM STDIN"));
  client.hears(copy_in());
  EXPECT_EQ(client.relay.ending(), fail);
  client.hears(error("57014", "COPY from stdin failed") + ready());
  EXPECT_TRUE(client.relay.idle());

  client.sends(parse("", "COPY t FROM STDIN") + bind("") + execute() + sync());
  client.hears(parsed() + bound() + copy_in());
  EXPECT_EQ(client.relay.ending(), fail + sync());
  client.hears(error("57014", "COPY from stdin failed") + ready());
  EXPECT_TRUE(client.relay.idle());
}

TEST_F(RelayState, WhatAResetLeftIsSetAgainWhereItIsntKnown) {
  const auto start = std::make_shared<const backend::Settings>(
      backend::Settings{{"application_name", "SET application_name TO 'mine'"}});
  client.relay.settings().start_with(start);
  one.settings = start;
  EXPECT_EQ(client.sends(query("RESET ALL; COPY t FROM STDIN")), query("RESET ALL; COPY t FROM STDIN"))
      << "COPY would read what is sent behind it";
  client.hears(complete("RESET") + copy_in());
  client.sends(copy_data("1\n") + copy_done());
  client.hears(complete("COPY 1") + ready());
  EXPECT_NE(*one.settings, *client.relay.settings().current());

  one.settings = start;
  client.sends(query("RESET ALL; SELECT 1/0"));
  client.hears(complete("RESET") + error("22012", "division by zero") + ready() + complete("SET") + ready());
  EXPECT_NE(*one.settings, *client.relay.settings().current()) << "the reset was undone, and the name of the start set";
}

TEST_F(RelayState, BeginWaitsForWhatNeedsTheServer) {
  client.relay.detach();
  const auto says = [&](std::string_view bytes) { return client.relay.from_client(bytes_of(bytes), 1); };
  const auto begun = says(query("begin"));
  EXPECT_EQ(string_of(begun.answer), complete("BEGIN") + ready('T'));
  EXPECT_TRUE(begun.forward.empty());
  EXPECT_FALSE(client.relay.idle());
  EXPECT_EQ(string_of(says(query("END")).answer), complete("COMMIT") + ready());
  EXPECT_TRUE(client.relay.idle());
  Client another(world, Mode::transaction);
  const auto commits = another.relay.from_client(bytes_of(query("COMMIT")), 1);
  EXPECT_EQ(commits.next, Relay::Next::need_server) << "the server warns";
  Client twice(world, Mode::transaction);
  const auto begins = twice.relay.from_client(bytes_of(query("BEGIN") + query("BEGIN")), 1);
  EXPECT_EQ(begins.used, query("BEGIN").size());
  EXPECT_EQ(begins.next, Relay::Next::need_server) << "the server warns";
  EXPECT_EQ(
      string_of(says(query("BEGIN") + query("ABORT") + query("START TRANSACTION")).answer),
      complete("BEGIN") + ready('T') + complete("ROLLBACK") + ready() + complete("START TRANSACTION") + ready('T'));
  EXPECT_EQ(says(query("SELECT 1")).next, Relay::Next::need_server);
  client.relay.attach(one);
  auto step = says(query("SELECT 1"));
  EXPECT_EQ(string_of(step.forward), query("START TRANSACTION"));
  EXPECT_EQ(step.next, Relay::Next::answer) << "were it to fail, the rest must not run";
  EXPECT_EQ(says(query("SELECT 1")).next, Relay::Next::answer);
  EXPECT_EQ(client.hears(complete("START TRANSACTION") + ready('T')), "");
  EXPECT_EQ(client.sends(query("SELECT 1")), query("SELECT 1"));
  client.hears(columns() + row("1") + complete("SELECT 1") + ready('T'));
  EXPECT_EQ(client.sends(query("COMMIT")), query("COMMIT"));
}

TEST_F(RelayState, ABeginIsNotAnsweredByCopy) {
  client.relay.detach();
  client.relay.from_client(bytes_of(query("BEGIN")), 1);
  client.relay.attach(one);
  EXPECT_EQ(client.relay.from_client(bytes_of(query("SELECT 1")), 1).next, Relay::Next::answer);
  EXPECT_TRUE(client.relay.from_server(bytes_of(copy_in()), 1).broken) << "who waits for BEGIN would wait on";
}

TEST_F(RelayState, ABeginThatFailsEndsTheSession) {
  client.relay.detach();
  client.relay.from_client(bytes_of(query("BEGIN")), 1);
  client.relay.attach(one);
  const std::string update = query("UPDATE t SET a = 1");
  EXPECT_EQ(string_of(client.relay.from_client(bytes_of(update), 2).forward), query("BEGIN"));
  EXPECT_TRUE(client.relay.from_server(bytes_of(error("57014", "canceling statement")), 3).broken);
  EXPECT_EQ(client.relay.error().sqlstate, "57014");
}

TEST_F(RelayState, ABatchNeedsTheServerWhenItIsToBeAnswered) {
  client.relay.detach();
  const std::string begun = parse("s", "SELECT 1") + bind("s");
  auto step = client.relay.from_client(bytes_of(begun), 1);
  EXPECT_EQ(step.next, Relay::Next::more);
  EXPECT_EQ(step.used, 0);
  EXPECT_EQ(client.relay.waiting(), begun.size());
  step = client.relay.from_client(bytes_of(begun + execute().substr(0, 3)), 2);
  EXPECT_EQ(step.next, Relay::Next::more);
  EXPECT_EQ(client.relay.waiting(), begun.size()) << "the rest of the Execute is the client's to send";
  EXPECT_EQ(client.relay.from_client(bytes_of(begun + execute()), 3).next, Relay::Next::need_server);
}

}  // namespace
}  // namespace millrace::gateway
