// The relay lets in what has its turn, and nothing else; what isn't let in is answered as PostgreSQL would.
#include "gateway/relay_turn_test.hpp"
#include "base/clock.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;
using Next = Relay::Next;

TEST(RelayTurn, WhereNobodyWaitsMuchIsSentWithOneTurn) {
  Turns turns;
  Server server;
  Asker asker(turns);
  asker.relay.attach(server);
  constexpr std::size_t many = 1000;
  const std::string one = query("SELECT 1");
  std::string all;
  for (std::size_t at = 0; at < many; ++at) all += one;
  const auto step = asker.says(all);
  EXPECT_GT(step.used, one.size());
  EXPECT_LT(step.used, all.size()) << "but not all";
  EXPECT_EQ(step.next, Next::answer);
  EXPECT_EQ(turns.running(), 1);
  EXPECT_EQ(asker.relay.exceeds(asker.now + 301 * second), Relay::Late::ends_session);
}

TEST(RelayTurn, WhereSomebodyWaitsNothingIsSentBehindABatchThatIsNotAnswered) {
  Turns turns;
  Server server;
  Asker asker(turns);
  asker.relay.attach(server);
  asker.says(query("SELECT 0"));
  const auto waits = turns.executor->wait({.party = turns.executor->party("eve", "")}, {}, 1);
  EXPECT_EQ(asker.says(query("SELECT 1")).next, Next::answer);
  asker.hears(columns() + complete("SELECT 0") + ready());
  EXPECT_EQ(waits->state(), executor::WaitingQuery::State::let_in);
  EXPECT_EQ(asker.says(query("SELECT 1")).next, Next::turn);
  turns.executor->stop_waiting(*waits, 1);
}

TEST(RelayTurn, NothingIsSentBehindABatchWithALimit) {
  Turns turns;
  Server server;
  Asker asker(turns);
  asker.relay.attach(server);
  const std::string first = query("/* millrace: timeout=1s */ SELECT 1"), second_one = query("SELECT 2");
  const std::string both = first + second_one;
  auto step = asker.says(both);
  EXPECT_EQ(step.used, first.size());
  EXPECT_EQ(string_of(step.forward), first);
  EXPECT_EQ(step.next, Next::answer);
  EXPECT_TRUE(asker.relay.asking());
  EXPECT_EQ(turns.running(), 1);
  asker.hears(columns() + complete("SELECT 0") + ready());
  EXPECT_FALSE(asker.relay.asking());
  EXPECT_EQ(turns.running(), 0) << "others may have had the turn";
  step = asker.says(second_one);
  EXPECT_EQ(string_of(step.forward), second_one);
  EXPECT_EQ(turns.running(), 1);
}

TEST(RelayTurn, WhatTakesNoTimeLetsNothingElseIn) {
  for (const std::string_view sql : {"SET statement_timeout = 0", "DISCARD ALL", "ROLLBACK", "SHOW all"}) {
    Turns turns;
    Server server;
    Asker asker(turns, Mode::session);
    asker.relay.attach(server);
    turns.take();
    const std::string free = query(sql), work = query("SELECT 1"), both = free + work;
    auto step = asker.says(both);
    EXPECT_EQ(string_of(step.forward), free);
    asker.hears(complete("SET") + ready());
    step = asker.says(work);
    EXPECT_EQ(step.next, Next::turn) << sql;
    EXPECT_TRUE(step.forward.empty());
    EXPECT_EQ(asker.says(query(std::string(sql) + "; SELECT 1")).next, Next::turn);
    EXPECT_EQ(asker.says(parse("", sql) + bind("") + execute() + sync()).next, Next::turn);
  }
}

/// As asyncpg's pool does it between two who use a connection.
TEST(RelayTurn, WhatOnlyTidiesTakesNoTime) {
  Turns turns;
  Server server;
  Asker asker(turns, Mode::session);
  asker.relay.attach(server);
  turns.take();
  asker.asks("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", "RESET");
  EXPECT_EQ(turns.running(), 1);
  EXPECT_EQ(asker.says(query("SELECT pg_advisory_unlock_all() FROM t; CLOSE ALL")).next, Next::turn);
}

/// As asyncpg does it with what its cache has no room for.
TEST(RelayTurn, WhatOnlyClosesTakesNoTime) {
  Turns turns;
  Server server;
  Asker asker(turns, Mode::session);
  asker.relay.attach(server);
  asker.asks("SELECT 1", "SELECT 1");
  turns.take();
  const std::string closes = close_statement("a") + close_portal("b");
  EXPECT_EQ(string_of(asker.says(closes + sync()).forward), closes + sync());
  asker.hears(closed() + closed() + ready());
  EXPECT_EQ(turns.running(), 1);
  for (const std::string& more : {closes, closes + parse("", "SELECT 1") + sync()}) {
    const auto step = asker.says(more);
    EXPECT_EQ(step.next, Next::turn);
    EXPECT_EQ(step.used, 0);
  }
}

TEST(RelayTurn, NorWhereItHasToHaveAServerConnectionFirst) {
  Turns turns;
  Server server;
  Asker asker(turns);
  turns.take();
  const std::string free = query("SET statement_timeout = 0"), both = free + query("SELECT 1");
  EXPECT_EQ(asker.says(both).next, Next::need_server);
  asker.relay.attach(server);
  const auto step = asker.says(both);
  EXPECT_EQ(string_of(step.forward), free);
  EXPECT_EQ(step.next, Next::answer);
  EXPECT_EQ(turns.running(), 1);
}

TEST(RelayTurn, WhatEndsAPreparedTransactionWaitsForNobody) {
  Turns turns;
  Server server;
  Asker asker(turns);
  asker.relay.attach(server);
  turns.take();
  const std::string batch = parse("", "COMMIT PREPARED 'x'") + bind("") + execute() + sync();
  EXPECT_EQ(asker.says(batch).used, batch.size());
}

TEST(RelayTurn, WhoMayHoldLocksWaitsForNobody) {
  for (const Mode mode : {Mode::session, Mode::transaction}) {
    Turns turns;
    Server server;
    Asker asker(turns, mode);
    asker.relay.attach(server);
    asker.asks("SELECT pg_advisory_lock(1)", "SELECT 1");
    turns.take();
    asker.asks("SELECT pg_advisory_unlock(1)", "SELECT 1");
    asker.asks("DISCARD ALL", "DISCARD ALL");
    EXPECT_EQ(asker.says(query("SELECT 1")).next, Next::turn);
  }
}

TEST(RelayTurn, WhoOnlyKeepsItsConnectionWaitsAsOthersDo) {
  for (const std::string_view keeps : {"LISTEN a", "CREATE TEMP TABLE t (a int)", "PREPARE p AS SELECT 1",
                                       "DECLARE c CURSOR WITH HOLD FOR SELECT 1"}) {
    Turns turns;
    Server server;
    Asker asker(turns);
    asker.relay.attach(server);
    asker.asks(keeps, "X");
    EXPECT_FALSE(asker.relay.pinned().empty());
    turns.take();
    EXPECT_EQ(asker.says(query("SELECT 1")).next, Next::turn) << keeps;
    asker.relay.wait_for_turn({}, asker.now);
    EXPECT_EQ(asker.relay.goes_on_anyway_at(), 0);
    asker.relay.end_wait_for_turn(Relay::Waited::in_vain, asker.now);
  }
}

/// A function of the user's may release them, of which nothing is known.
TEST(RelayTurn, WhoMayHoldLocksDoesNotWaitForLong) {
  Turns turns;
  Server server;
  Asker asker(turns, Mode::session);
  asker.relay.attach(server);
  asker.asks("DO $$ BEGIN END $$", "DO");
  turns.take();
  const std::string work = query("SELECT release()");
  EXPECT_EQ(asker.says(work).next, Next::turn);
  asker.relay.wait_for_turn({}, asker.now);
  const std::int64_t goes_on_at = asker.relay.goes_on_anyway_at();
  EXPECT_GT(goes_on_at, asker.now);
  EXPECT_LT(goes_on_at, asker.now + second);
  asker.relay.end_wait_for_turn(Relay::Waited::long_enough, goes_on_at);
  EXPECT_EQ(string_of(asker.says(work).forward), work);
  EXPECT_EQ(turns.running(), 2);
  asker.hears(complete("SELECT 0") + ready());
  EXPECT_EQ(turns.running(), 1);
}

TEST(RelayTurn, WhosePoolHasNoConnectionLeftHasNoTurn) {
  Turns turns;
  turns.executor->set_limits({.most = 10, .finds_best = false, .wait = {}});
  const auto places = std::make_shared<Places>([&] { turns.executor->look_again(1); });
  Server server;
  Asker asker(turns, Mode::transaction, places);
  const std::string work = query("SELECT 1");
  EXPECT_EQ(asker.says(work).next, Next::turn);
  bool woken = false;
  asker.relay.wait_for_turn([&] { woken = true; }, asker.now);
  EXPECT_TRUE(asker.relay.lacks_place());
  places->set_free(1);
  places->tell();
  EXPECT_TRUE(woken);
  asker.relay.end_wait_for_turn(Relay::Waited::ended, asker.now);
  EXPECT_FALSE(places->any()) << "it is promised";
  EXPECT_EQ(asker.says(work).next, Next::need_server);
  EXPECT_FALSE(places->any());
  asker.relay.attach(server);
  EXPECT_TRUE(places->any()) << "it would be the pool's to say that it isn't there any more";
  EXPECT_EQ(string_of(asker.says(work).forward), work);
}

TEST(RelayTurn, WhoWaitsForAServerConnectionHoldsNoTurn) {
  Turns turns;
  Server server;
  Asker asker(turns);
  const std::string work = query("SELECT 1");
  EXPECT_EQ(asker.says(work).next, Next::need_server);
  EXPECT_EQ(turns.running(), 1);
  asker.relay.give_turn_back(asker.now);
  EXPECT_EQ(turns.running(), 0);
  turns.take();
  asker.relay.attach(server);
  EXPECT_EQ(string_of(asker.says(work).forward), work) << "it has had its turn";
  asker.hears(complete("SELECT 0") + ready());
  EXPECT_EQ(asker.says(work).next, Next::turn) << "the next one hasn't";
}

TEST(RelayTurn, WhatWaitedTooLongForAServerConnectionIsRefused) {
  Turns turns;
  Server server;
  Asker asker(turns);
  const std::string work = query("/* millrace: timeout=100ms */ SELECT 1");
  EXPECT_EQ(asker.says(work).next, Next::need_server);
  EXPECT_EQ(asker.relay.wait_ends_at(), asker.now + 100 * ms);
  asker.relay.give_turn_back(asker.now);
  asker.now += second;
  const auto step = asker.says(work);
  EXPECT_EQ(step.used, work.size());
  EXPECT_NE(string_of(step.answer).find("57014"), std::string::npos);
  EXPECT_TRUE(string_of(step.answer).ends_with(ready('I')));
  EXPECT_EQ(asker.says(query("SELECT 1")).next, Next::need_server);
}

TEST(RelayTurn, AQuotaIsNotGivenBackByWhatItWasNotTakenFor) {
  Turns turns;
  turns.executor->quotas().set_defaults(true, {});
  Server server;
  Asker asker(turns);
  const auto used = [&] {
    return turns.executor->party("u1", "")->user_account()->used(executor::Window::hour, now_ns()).queries;
  };
  asker.now = now_ns();
  asker.relay.attach(server);
  asker.asks("/* millrace: user_id=u1 */ SELECT 1", "SELECT 1");
  asker.relay.detach();
  EXPECT_EQ(used(), 1);
  // Waits for a server connection until its time is over: once what needs no turn, and then what does.
  for (const std::string_view sql : {"SET application_name = 'x'", "SELECT 2"}) {
    const std::string work = query("/* millrace: user_id=u1, timeout=50ms */ " + std::string(sql));
    EXPECT_EQ(asker.says(work).next, Next::need_server);
    asker.relay.give_turn_back(asker.now);
    asker.now += second;
    EXPECT_NE(string_of(asker.says(work).answer).find("57014"), std::string::npos);
    EXPECT_EQ(used(), 1) << sql;
  }
}

TEST(RelayTurn, NoQuotaHoldsBackWhatReleasesLocks) {
  Turns turns;
  turns.executor->quotas().set_defaults(true, {.hourly_query_limit = 1});
  Server server;
  Asker asker(turns);
  asker.now = now_ns();
  asker.relay.attach(server);
  const std::string as = "/* millrace: user_id=u1 */ ";
  asker.asks(as + "SELECT pg_advisory_lock(1)", "SELECT 1");
  EXPECT_NE(string_of(asker.says(query(as + "SELECT 1")).answer).find("53400"), std::string::npos);
  asker.asks(as + "SELECT pg_advisory_unlock(1)", "SELECT 1");
  const std::string batch = parse("", as + "COMMIT PREPARED 'x'") + bind("") + execute() + sync();
  EXPECT_EQ(string_of(asker.says(batch).forward), batch);
  asker.hears(parsed() + bound() + complete("COMMIT PREPARED") + ready());
  EXPECT_NE(string_of(asker.says(query(as + "SELECT 1")).answer).find("53400"), std::string::npos);
  EXPECT_EQ(turns.executor->party("u1", "")->user_account()->used(executor::Window::hour, now_ns()).queries, 1);
}

TEST(SessionWishes, AreFourSettings) {
  for (const std::string_view name : {"priority", "timeout", "user_id", "project_id"})
    EXPECT_TRUE(is_wish("millrace." + std::string(name)));
  for (const std::string_view name : {"millrace.", "millrace.other", "millrace.user_id2", "priority", "other.priority"})
    EXPECT_FALSE(is_wish(name)) << name << " is kept for nothing";
}

TEST(RelayTurn, ATurnIsLentWhileTheClientIsWaitedFor) {
  Turns turns;
  Server server;
  Asker asker(turns);
  asker.relay.attach(server);
  asker.says(query("COPY t FROM STDIN"));
  asker.hears(copy_in());
  asker.relay.lend_turn(asker.now + 10 * ms, false);
  EXPECT_EQ(turns.running(), 1);
  asker.relay.lend_turn(asker.now += 2 * second, false);
  EXPECT_EQ(turns.running(), 0);
  turns.take();
  asker.says(copy_data("1\n"));
  EXPECT_EQ(turns.running(), 1) << "a few bytes are no work";
  asker.says(copy_data(std::string(100'000, 'x')));
  EXPECT_EQ(turns.running(), 2) << "what goes on waits for nobody";
  asker.relay.lend_turn(asker.now += ms, false);
  asker.says(copy_data("1\n"));
  asker.relay.lend_turn(asker.now += ms, false);
  asker.relay.lend_turn(asker.now += ms, false);
  EXPECT_EQ(turns.running(), 1);
  asker.says(copy_done());
  EXPECT_EQ(turns.running(), 2);
  asker.hears(complete("COPY 1") + ready());
  EXPECT_EQ(turns.running(), 1);
}

TEST(RelayTurn, ATurnIsLentWhileTheRestOfALongMessageDoesNotCome) {
  for (const bool in_batch : {false, true}) {
    Turns turns;
    Server server;
    Asker asker(turns);
    asker.relay.attach(server);
    const std::string value(3'000'000, 'x');
    const std::vector<pgwire::Value> values = {value};
    const std::string work =
        in_batch ? message<pgwire::append_bind>(pgwire::BindFields{.values = values}) : query("SELECT '" + value + "'");
    std::string_view rest = work;
    if (in_batch) asker.says(parse("", "SELECT $1"));
    rest.remove_prefix(asker.says(rest.substr(0, 2'000'000)).used);
    EXPECT_LT(rest.size(), value.size() / 2);
    EXPECT_EQ(turns.running(), 1);
    for (int looks = 0; looks < 3; ++looks) {
      asker.relay.lend_turn(asker.now += 10 * ms, false);
      asker.says(rest.substr(0, 1));
      rest.remove_prefix(1);
    }
    EXPECT_EQ(turns.running(), 0) << "however often a byte comes";
    turns.take();
    asker.says(rest);
    EXPECT_EQ(turns.running(), 2);
    asker.hears(in_batch ? parsed() + bound() : complete("SELECT 1") + ready());
    EXPECT_EQ(turns.running(), in_batch ? 2 : 1);
  }
}

TEST(RelayTurn, WhoThinksInATransactionIsInTheWayOfWhoWaitsForAMomentOnly) {
  Turns turns;
  Server server;
  Asker asker(turns, Mode::session);
  asker.relay.attach(server);
  asker.asks("BEGIN; SELECT 1", "SELECT 1", 'T');
  EXPECT_EQ(asker.relay.lends_at(), 0) << "nobody waits";
  const auto waits = turns.executor->wait({.party = turns.executor->party("eve", "")}, {}, 1);
  EXPECT_EQ(asker.relay.lends_at(), asker.now + 20 * ms);
  asker.relay.lend_idle_turn(asker.now + 19 * ms);
  EXPECT_EQ(waits->state(), executor::WaitingQuery::State::waits);
  asker.relay.lend_idle_turn(asker.now += 20 * ms);
  EXPECT_EQ(waits->state(), executor::WaitingQuery::State::let_in);
  asker.says(query("SELECT 2"));
  EXPECT_EQ(asker.relay.lends_at(), 0) << "it runs";
  EXPECT_EQ(turns.running(), 2);
  turns.executor->stop_waiting(*waits, 1);
}

TEST(RelayTurn, ATurnIsLentWhileAnswersAreNotTaken) {
  Turns turns;
  Server server;
  Asker asker(turns);
  asker.relay.attach(server);
  asker.says(query("SELECT 1"));
  asker.hears(columns() + row("1"));
  asker.relay.lend_turn(asker.now += ms, true);
  EXPECT_EQ(turns.running(), 0);
  asker.hears(row("2"));
  EXPECT_EQ(turns.running(), 1);
  asker.relay.lend_turn(asker.now += ms, true);
  asker.hears(complete("SELECT 2") + ready());
  EXPECT_EQ(turns.running(), 0);
}

TEST(RelayTurn, ATransactionInWhichNothingHappensLendsItsTurn) {
  Turns turns;
  Server server;
  Asker asker(turns, Mode::session);
  asker.relay.attach(server);
  asker.asks("BEGIN; SELECT 1", "SELECT 1", 'T');
  asker.relay.lend_turn(asker.now += 2 * second, false);
  EXPECT_EQ(turns.running(), 0);
  turns.take();
  asker.asks("SELECT 2", "SELECT 1", 'T');
  EXPECT_EQ(turns.running(), 2);
  asker.asks("COMMIT", "COMMIT");
  EXPECT_EQ(turns.running(), 1);
}

TEST(RelayTurn, OfABatchThatIsNotEndedTheServerIsAskedHowFarItIs) {
  Turns turns;
  Server server;
  Asker asker(turns);
  asker.relay.attach(server);
  asker.says(parse("", "SELECT 1") + bind("") + execute());
  EXPECT_FALSE(asker.relay.wants_flush(asker.now + 10 * ms));
  EXPECT_TRUE(asker.relay.wants_flush(asker.now + 2 * second));
  EXPECT_FALSE(asker.relay.wants_flush(asker.now + 3 * second)) << "once";
  asker.hears(parsed() + bound() + complete("SELECT 1"));
  asker.relay.lend_turn(asker.now += 2 * second, false);
  EXPECT_EQ(turns.running(), 0);
  asker.says(sync());
  asker.hears(ready());
  EXPECT_TRUE(asker.relay.releasable());
}

/// Its BEGIN was answered, and the server knows nothing of it.
class FailedTransaction : public testing::Test {
 protected:
  FailedTransaction() {
    turns.executor->set_limits({.most = 1, .finds_best = false, .most_waiting = 0, .wait = {}});
    turns.take();
    EXPECT_EQ(string_of(asker.says(query("BEGIN")).answer), complete("BEGIN") + ready('T'));
    refuse(query("SELECT 1"));
  }

  void refuse(const std::string& messages) {
    EXPECT_EQ(asker.says(messages).next, Next::turn);
    asker.relay.wait_for_turn({}, asker.now);
    EXPECT_FALSE(asker.relay.waits_for_turn());
    asker.relay.end_wait_for_turn(Relay::Waited::ended, asker.now);
    const std::string answer = all_of(messages);
    EXPECT_NE(answer.find("53400"), std::string::npos);
    EXPECT_TRUE(answer.ends_with(ready('E')));
  }
  /// What is answered without the server.
  std::string all_of(const std::string& messages) {
    const auto step = asker.says(messages);
    EXPECT_EQ(step.used, messages.size());
    EXPECT_EQ(step.next, Next::more);
    EXPECT_TRUE(step.forward.empty());
    return string_of(step.answer);
  }

  Turns turns;
  Server server;
  Asker asker{turns};
};

TEST_F(FailedTransaction, NothingIsDoneInIt) {
  for (const std::string& work : {query("SELECT 1"), parse("", "SELECT 1") + bind("") + execute() + sync(),
                                  query("INSERT INTO t VALUES (1); SELECT 1")}) {
    const std::string answer = all_of(work);
    EXPECT_NE(answer.find("25P02"), std::string::npos);
    EXPECT_TRUE(answer.ends_with(ready('E')));
  }
  EXPECT_EQ(all_of(sync()), ready('E'));
  EXPECT_EQ(all_of(flush()), "");
}

TEST_F(FailedTransaction, EndsWithoutTheServer) {
  for (const std::string_view end : {"ROLLBACK", "COMMIT", "END", "ABORT"}) {
    EXPECT_EQ(all_of(query(end)), complete("ROLLBACK") + ready('I'));
    all_of(query("BEGIN"));
    refuse(parse("", "SELECT 1") + bind("") + execute() + sync());
  }
}

TEST_F(FailedTransaction, EndsInABatchWithoutTheServer) {
  for (const std::string_view end : {"ROLLBACK", "COMMIT", "END", "ABORT"}) {
    EXPECT_EQ(all_of(parse("", end) + bind("") + execute() + sync()),
              parsed() + bound() + complete("ROLLBACK") + ready('I'));
    all_of(query("BEGIN"));
    refuse(query("SELECT 1"));
  }
}

TEST_F(FailedTransaction, WhatIsDoneBehindItsEndNeedsATurn) {
  const std::string more = query("COMMIT; SELECT 1");
  refuse(more);
  turns.others.give_back(1);
  turns.executor->quotas().set_defaults(true, {.hourly_query_limit = 0});
  EXPECT_NE(all_of(query("/* millrace: user_id=u1 */ COMMIT; SELECT 1")).find("53400"), std::string::npos);
  EXPECT_EQ(asker.says(more).next, Next::need_server);
  EXPECT_EQ(turns.running(), 1);
}

/// What isn't plain is the server's to answer, for which it has to have such a transaction.
TEST_F(FailedTransaction, IsMadeOneOfTheServersWhereThatMustAnswer) {
  const std::string end = parse("", "COMMIT") + bind("", "portal") + execute("portal") + sync();
  EXPECT_EQ(asker.says(end).next, Next::need_server);
  asker.relay.attach(server);
  auto step = asker.says(end);
  EXPECT_EQ(step.used, 0);
  EXPECT_NE(string_of(step.forward).find("BEGIN; ROLLBACK TO SAVEPOINT"), std::string::npos);
  EXPECT_EQ(step.next, Next::answer);
  EXPECT_EQ(asker.hears(complete("BEGIN") + error("3B001", "no such savepoint") + ready('E')), "");
  step = asker.says(end);
  EXPECT_EQ(string_of(step.forward), end);
  const std::string answer = parsed() + bound() + complete("ROLLBACK") + ready('I');
  EXPECT_EQ(asker.hears(answer), answer);
  EXPECT_TRUE(asker.relay.releasable());
  EXPECT_EQ(turns.running(), 1);
}

}  // namespace
}  // namespace millrace::gateway
