// What the relay answers while no server can be reached.
#include "gateway/relay_test.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;
using Next = Relay::Next;

/// Its circuit breaker is open.
class OutOfReach : public testing::Test {
 protected:
  OutOfReach() {
    for (int i = 0; i < 5; ++i) breaker->failed(1, "refused");
    EXPECT_TRUE(breaker->begin_attempt(1));
    breaker->end_attempt(1, true);
    relay.settings().parameters = Server().parameters;
  }

  /// All is taken, and nothing needs a server.
  std::string all_of(std::string_view messages) {
    const auto step = says(messages);
    EXPECT_EQ(step.used, messages.size());
    EXPECT_EQ(step.next, Next::more);
    EXPECT_TRUE(step.forward.empty());
    return string_of(step.answer);
  }
  Relay::FromClient says(std::string_view messages) { return relay.from_client(bytes_of(messages), ++now); }
  void is_refused(std::string_view messages, char status) {
    const std::string answer = all_of(messages);
    EXPECT_TRUE(answer.contains("55000") && answer.contains("db:5432")) << answer;
    EXPECT_TRUE(answer.ends_with(ready(status))) << answer;
  }

  void is_refused_with(std::string_view messages, std::string_view why) {
    const std::string answer = all_of(messages);
    EXPECT_TRUE(answer.contains("55000") && answer.contains(why)) << answer;
  }

  World world;
  std::shared_ptr<CircuitBreaker> breaker = std::make_shared<CircuitBreaker>("db:5432");
  Relay relay{
      world.pipeline, world.texts, {.mode = Mode::transaction, .user = "ada", .database = "crawl", .breaker = breaker}};
  std::int64_t now = 0;
};

/// What belongs to a COPY, as clients send it ahead.
std::string copied() {
  return message<pgwire::append_copy_data>(std::string_view("1\n")) + message<pgwire::append_copy_done>();
}
/// As PostgreSQL answers SELECT pg_advisory_unlock_all().
std::string unlocked() {
  std::string out;
  pgwire::append_row_description(
      out, std::array{pgwire::FieldDescription{.name = "pg_advisory_unlock_all", .type_oid = 2278, .type_size = 4}});
  return out + row("") + complete("SELECT 1");
}

std::string asked(std::string_view sql) { return parse("", sql) + bind("") + execute() + sync(); }

TEST_F(OutOfReach, WhatNeedsAServerIsRefused) {
  is_refused(query("SELECT now()"), 'I');
  is_refused(asked("SELECT now()"), 'I');
  EXPECT_EQ(breaker->status().refused, 2);
}

TEST_F(OutOfReach, AFailedTransactionEndsInABatchToo) {
  for (const std::string_view end : {"ROLLBACK", "COMMIT"}) {
    all_of(query("BEGIN"));
    is_refused(asked("SELECT now()"), 'E');
    EXPECT_TRUE(all_of(asked("SELECT 1")).contains("25P02"));
    EXPECT_EQ(all_of(sync()), ready('E'));
    EXPECT_EQ(all_of(asked(end)), parsed() + bound() + complete("ROLLBACK") + ready('I'));
  }
  EXPECT_EQ(all_of(query("BEGIN")), complete("BEGIN") + ready('T'));
}

TEST_F(OutOfReach, AFailedTransactionEndsByAPreparedStatement) {
  all_of(query("BEGIN"));
  is_refused(query("SELECT now()"), 'E');
  const std::string run = bind("end") + execute() + sync();
  EXPECT_EQ(all_of(parse("end", "ROLLBACK") + run), parsed() + bound() + complete("ROLLBACK") + ready());
  all_of(query("BEGIN"));
  is_refused(query("SELECT now()"), 'E');
  EXPECT_EQ(all_of(run), bound() + complete("ROLLBACK") + ready());
}

TEST_F(OutOfReach, ABatchIsWaitedFor) {
  all_of(query("BEGIN"));
  is_refused(query("SELECT now()"), 'E');
  const std::string end = asked("ROLLBACK");
  for (std::size_t some = 0; some < end.size(); ++some) {
    const auto step = says(std::string_view(end).substr(0, some));
    EXPECT_EQ(step.used, 0);
    EXPECT_TRUE(step.answer.empty());
  }
  EXPECT_TRUE(all_of(end).ends_with(ready('I')));
}

TEST_F(OutOfReach, WhatElseABatchHoldsIsRefused) {
  all_of(query("BEGIN"));
  is_refused(query("SELECT now()"), 'E');
  EXPECT_TRUE(all_of(parse("", "SELECT 1") + asked("ROLLBACK")).ends_with(ready('E')));
  EXPECT_EQ(all_of(query("ROLLBACK")), complete("ROLLBACK") + ready());
}

TEST_F(OutOfReach, AnEmptyTextIsAnswered) {
  for (const std::string_view empty : {"", ";", "-- ping"}) {
    EXPECT_EQ(all_of(query(empty)), empty_query() + ready());
    EXPECT_EQ(all_of(parse("", empty) + bind("") + describe_portal() + execute() + sync()),
              parsed() + bound() + no_data() + empty_query() + ready());
  }
  EXPECT_EQ(all_of(sync()), ready());
  EXPECT_EQ(all_of(flush()), "");
}

TEST_F(OutOfReach, AnEmptyTextIsTheServersWhereThereIsOne) {
  breaker->answered(2, 1);
  EXPECT_EQ(says(query("")).next, Next::need_server);
  EXPECT_EQ(says(asked("")).next, Next::need_server);
}

TEST_F(OutOfReach, BeforeItIsKnownTheReasonIsTold) {
  breaker->answered(2, 1);
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(says(query("SELECT now()")).next, Next::need_server);
    relay.lacks_server({.message = "connection refused", .sqlstate = "08001"});
    const std::string answer = all_of(query("SELECT now()"));
    EXPECT_TRUE(answer.contains("connection refused") && answer.contains("55000")) << answer;
  }
}

TEST_F(OutOfReach, BeforeItIsKnownAnEmptyTextIsRefusedToo) {
  breaker->answered(2, 1);
  for (const std::string& empty : {query(""), asked("")}) {
    EXPECT_EQ(says(empty).next, Next::need_server);
    relay.lacks_server({.message = "connection refused", .sqlstate = "08001"});
    is_refused_with(empty, "connection refused");
  }
}

TEST_F(OutOfReach, CopyDataThatWasSentAheadNeedsNoServer) {
  breaker->answered(2, 1);
  EXPECT_EQ(says(query("COPY t FROM STDIN")).next, Next::need_server);
  relay.lacks_server({.message = "connection refused", .sqlstate = "08001"});
  is_refused_with(query("COPY t FROM STDIN"), "connection refused");
  for (int time = 0; time < 3; ++time) {
    EXPECT_EQ(all_of(copied() + copy_fail() + flush()), "");
  }
  EXPECT_EQ(says(query("SELECT now()")).next, Next::need_server);
}

// A part of it has come: the rest is left out as well.
TEST_F(OutOfReach, NorDoesAPartOfIt) {
  breaker->answered(2, 1);
  const std::string data = message<pgwire::append_copy_data>(std::string_view("1\n2\n"));
  for (std::size_t some = pgwire::header_size; some < data.size(); ++some) {
    EXPECT_EQ(all_of(data.substr(0, some)) + all_of(data.substr(some)), "");
  }
}

TEST_F(OutOfReach, AnEmptyTextIsAnsweredInAFailedTransactionToo) {
  all_of(query("BEGIN"));
  is_refused(query("SELECT now()"), 'E');
  EXPECT_EQ(all_of(query("-- ping")), empty_query() + ready('E'));
  EXPECT_TRUE(all_of(query("SELECT 1")).contains("25P02"));
  EXPECT_EQ(all_of(query("ROLLBACK")), complete("ROLLBACK") + ready());
}

// As asyncpg's pool says it of a connection that it gets back, and Npgsql's before somebody else's first query.
TEST_F(OutOfReach, WhatTidiesUpIsAnsweredWhereThereIsNothingToTidy) {
  EXPECT_EQ(all_of(query("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;")),
            unlocked() + complete("CLOSE CURSOR ALL") + complete("UNLISTEN") + complete("RESET") + ready());
  EXPECT_EQ(all_of(query("SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;"
                         "SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP")),
            complete("SET") + complete("RESET") + complete("CLOSE CURSOR ALL") + complete("UNLISTEN") + unlocked() +
                complete("DISCARD SEQUENCES") + complete("DISCARD TEMP") + ready());
  EXPECT_EQ(all_of(query("DISCARD ALL")), complete("DISCARD ALL") + ready());
  EXPECT_EQ(all_of(query(" reset  all ; ")), complete("RESET") + ready());
  EXPECT_EQ(breaker->status().refused, 0);
}

TEST_F(OutOfReach, WhatDoesMoreThanTidyIsRefused) {
  for (const std::string_view more :
       {"RESET ALL; SELECT 1", "SELECT pg_advisory_unlock_all(), 1", "RESET ALL; 'RESET ALL", "RESET work_mem",
        "UNLISTEN a", "DISCARD ALL; RESET ALL", "RESET ALL; DISCARD ALL", "RESETALL"}) {
    is_refused(query(more), 'I');
  }
}

TEST_F(OutOfReach, WhatTidiesUpIsRefusedWhereThereIsSomethingToTidy) {
  all_of(query("BEGIN"));
  is_refused(query("RESET ALL"), 'E');
  all_of(query("ROLLBACK"));
  EXPECT_EQ(all_of(parse("kept", "ROLLBACK") + sync()), parsed() + ready());
  is_refused(query("DISCARD ALL"), 'I');
  EXPECT_EQ(all_of(query("RESET ALL")), complete("RESET") + ready());

  Server server;
  breaker->answered(2, 1);
  relay.attach(server);
  says(query("SET work_mem = '2MB'"));
  relay.from_server(bytes_of(complete("SET") + ready()), ++now);
  relay.detach();
  for (int i = 0; i < 5; ++i) breaker->failed(3'000'000'000, "refused");
  ASSERT_TRUE(breaker->begin_attempt(3'000'000'000));
  breaker->end_attempt(3'000'000'000, true);
  is_refused(query("RESET ALL"), 'I');
}

TEST_F(OutOfReach, WhatTidiesUpIsTheServersWhereThereIsOne) {
  breaker->answered(2, 1);
  EXPECT_EQ(says(query("RESET ALL")).next, Next::need_server);
}

}  // namespace
}  // namespace millrace::gateway
