// What was sent, and lost with its server connection, is sent once more where that can't change what has happened.
#include <fmt/format.h>

#include <deque>

#include "gateway/relay_turn_test.hpp"
#include "pipeline/cacheability_test.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;
using Next = Relay::Next;

/// A client whose reads are answered from memory where that may be, of a database whose catalogs are known.
class SentAgain : public testing::Test {
 protected:
  SentAgain() {
    pipeline::test::Database database;
    database.builder.set_version(1);
    database.builder.role("ada", {.search_path = "\"$user\", public", .isolation = "read committed"});
    catalog_ = database.builder.build();
    cache_.use([this](const std::string&, bool) {
      return std::make_shared<const pipeline::CatalogSource>(
          pipeline::CatalogSource{[this] { return catalog_; }, [] { return std::make_shared<const int>(0); }});
    });
    begin();
  }

  static constexpr pipeline::Consistency eventual{.level = pipeline::Consistency::Level::eventual};

  void begin(Mode mode = Mode::transaction, bool sends_again = true, std::optional<Consistency> level = eventual) {
    relay_ = std::make_unique<Relay>(pipeline_, texts_,
                                     Relay::Options{.mode = mode,
                                                    .user = "ada",
                                                    .database = "crawl",
                                                    .level = level,
                                                    .executor = executor_,
                                                    .times = &times_,
                                                    .sends_again = sends_again});
    relay_->settings().parameters = server_.parameters;
  }

  /// What goes to a server connection, which it gets if it needs one.
  std::string sends(std::string_view messages) {
    input_.append(messages);
    return goes_on();
  }
  std::string goes_on() {
    std::string sent;
    for (;;) {
      const auto step = relay_->from_client(bytes_of(input_), now_ += ms);
      sent += string_of(step.forward);
      answered_ += string_of(step.answer);
      input_.erase(0, step.used);
      if (step.next == Next::parse) {
        relay_->parsed(sql::parse(relay_->take_to_parse()));
      } else if (step.next == Next::need_server) {
        relay_->attach(servers_.emplace_back());
      } else {
        return sent;
      }
    }
  }
  std::string hears(std::string_view bytes) {
    heard_.append(bytes);
    const auto step = relay_->from_server(bytes_of(heard_), now_ += ms);
    std::string told = string_of(step.forward);
    heard_.erase(0, step.used);
    return told;
  }
  /// As a session does it. What is sent then.
  std::string loses_server() {
    EXPECT_TRUE(relay_->may_be_sent_again());
    input_.insert(0, relay_->unanswered());
    heard_.clear();
    relay_->detach();
    relay_->take_back(now_ += ms);
    EXPECT_TRUE(relay_->is_sent_again());
    EXPECT_EQ(running(), 0);
    const std::string sent = goes_on();
    EXPECT_FALSE(relay_->may_be_sent_again()) << "once";
    return sent;
  }
  std::size_t running() const { return executor_->figures(now_).running; }
  /// What has ended.
  std::string kinds() const {
    std::string out;
    for (const auto& [name, count] : monitor_.snapshot().kinds) {
      if (count > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, count);
    }
    return out;
  }
  std::uint64_t ended() const { return monitor_.snapshot().queries(); }
  void is_never_sent_again(std::string_view messages) {
    sends(messages);
    EXPECT_TRUE(relay_->query_under_way());
    EXPECT_FALSE(relay_->may_be_sent_again()) << messages;
    begin();
  }

  Server server_;
  std::deque<Server> servers_;
  sql::ParseLimits limits_;
  std::shared_ptr<const catalog::Snapshot> catalog_;
  std::shared_ptr<cache::IntelligentCacheManager> manager_ =
      std::make_shared<cache::IntelligentCacheManager>(std::size_t{1} << 20);
  pipeline::ReadCache cache_{manager_, std::chrono::seconds(300)};
  QueryPerformanceMonitor monitor_{1, pipeline::statement_kind_labels()};
  pipeline::Pipeline pipeline_{0, monitor_, limits_, &cache_};
  PreparedTexts texts_{"mr_"};
  executor::TemplateTimes times_;
  std::shared_ptr<executor::AdaptiveQueryExecutor> executor_ = std::make_shared<executor::AdaptiveQueryExecutor>(
      executor::AdaptiveQueryExecutor::Limits{.most = 1, .finds_best = false, .most_waiting = 10, .wait = {}});
  std::unique_ptr<Relay> relay_;
  std::string input_, heard_, answered_;
  std::int64_t now_ = second;
};

constexpr std::string_view read_sql = "SELECT name FROM users";

std::string answer(std::string_view value) { return columns() + row(value) + complete("SELECT 1") + ready(); }
std::string batch(std::string_view sql) { return parse("", sql) + bind("") + describe_portal() + execute() + sync(); }
std::string warning(std::string_view sqlstate) {
  return message<pgwire::append_notice_response>(
      pgwire::ErrorFields{.severity = "WARNING", .sqlstate = sqlstate, .message = "terminating connection"});
}
std::string fatal(std::string_view sqlstate) { return error(sqlstate, "terminating connection", "FATAL"); }

TEST_F(SentAgain, ARead) {
  const std::string read = query(read_sql);
  EXPECT_EQ(sends(read), read);
  EXPECT_EQ(loses_server(), read);
  EXPECT_EQ(servers_.size(), 2);
  EXPECT_EQ(running(), 1);
  EXPECT_EQ(hears(answer("a")), answer("a"));
  EXPECT_EQ(running(), 0);
  EXPECT_EQ(ended(), 1);
  EXPECT_EQ(monitor_.snapshot().failed_queries(), 0);
  EXPECT_TRUE(relay_->releasable());
  EXPECT_EQ(sends(query("SELECT 1")), query("SELECT 1"));
  EXPECT_TRUE(relay_->may_be_sent_again()) << "the next may be again";
}

TEST_F(SentAgain, AReadOfWhoWantsNothingFromMemory) {
  cache_.begin_use();  // as others do
  begin(Mode::transaction, true, std::nullopt);
  sends(query(read_sql));
  EXPECT_EQ(loses_server(), query(read_sql));
}

TEST_F(SentAgain, OnlyOnce) {
  sends(query(read_sql));
  loses_server();
  relay_->lost(now_ += ms);
  EXPECT_EQ(ended(), 1);
  EXPECT_EQ(monitor_.snapshot().failed_queries(), 1);
}

TEST_F(SentAgain, MoreOftenWhereAnotherProcessHasCrashed) {
  sends(query(read_sql));
  const std::string crashed = fatal("57P02");
  loses_server();
  for (int times = 2; times < 4; ++times) {
    EXPECT_EQ(hears(crashed), "");
    EXPECT_EQ(loses_server(), query(read_sql));
    EXPECT_EQ(relay_->times_sent_again(), times);
  }
  EXPECT_EQ(hears(fatal("57P01")), fatal("57P01"));
}

TEST_F(SentAgain, ABatch) {
  const std::string read = batch(read_sql), heard = parsed() + bound() + answer("a");
  EXPECT_EQ(sends(read), read);
  EXPECT_EQ(loses_server(), read);
  EXPECT_EQ(hears(heard), heard);
  EXPECT_EQ(running(), 0);
  EXPECT_EQ(ended(), 1);
}

TEST_F(SentAgain, ABatchThatIsNotEnded) {
  const std::string begun = parse("", read_sql) + bind("") + execute() + flush();
  EXPECT_EQ(sends(begun), begun);
  EXPECT_EQ(loses_server(), begun);
  EXPECT_EQ(sends(sync()), sync());
  const std::string heard = parsed() + bound() + complete("SELECT 0") + ready();
  EXPECT_EQ(hears(heard), heard);
  EXPECT_TRUE(relay_->releasable());
}

TEST_F(SentAgain, WhatOnlyPrepares) {
  const std::string prepares = parse("s", read_sql) + describe_statement("s") + sync();
  sends(prepares);
  EXPECT_TRUE(loses_server().contains(read_sql)) << "the name isn't taken";
  const std::string heard = parsed() + parameter_types() + columns() + ready();
  EXPECT_EQ(hears(heard), heard);
  EXPECT_TRUE(sends(parse("s", read_sql) + sync()).contains(describe_statement("mr_0"))) << "now it is";
}

/// Each of the other connections lacks the statement, and is asked first which columns it has there.
TEST_F(SentAgain, ByAPreparedStatement) {
  sends(parse("s", read_sql) + describe_statement("s") + sync());
  hears(parsed() + parameter_types() + columns() + ready());
  relay_->detach();
  const std::string asks = sends(bind("s") + execute() + sync());
  EXPECT_TRUE(asks.ends_with(flush())) << "nothing of the client's was sent";
  EXPECT_TRUE(relay_->asking());
  EXPECT_EQ(relay_->unanswered(), "");
  EXPECT_EQ(loses_server(), asks);
  EXPECT_EQ(hears(parsed() + parameter_types() + columns()), "");
  const std::string reads = goes_on();
  EXPECT_TRUE(reads.ends_with(execute() + sync()));
  EXPECT_EQ(hears(bound() + complete("SELECT 0") + ready()), bound() + complete("SELECT 0") + ready());
  EXPECT_EQ(ended(), 1);
}

TEST_F(SentAgain, LostBehindTheQuestionForItsColumns) {
  sends(parse("s", read_sql) + describe_statement("s") + sync());
  hears(parsed() + parameter_types() + columns() + ready());
  relay_->detach();
  const std::string read = bind("s") + execute() + sync();
  const std::string asks = sends(read);
  hears(parsed() + parameter_types() + columns());
  goes_on();
  EXPECT_EQ(relay_->unanswered(), read);
  EXPECT_EQ(loses_server(), asks);
}

TEST_F(SentAgain, SeveralThatWereSentAhead) {
  const std::string reads = query(read_sql) + query("SELECT 1") + batch("SELECT now()");
  EXPECT_EQ(sends(reads), reads);
  EXPECT_EQ(loses_server(), reads);
  EXPECT_EQ(running(), 1);
  hears(answer("a") + answer("b") + parsed() + bound() + answer("c"));
  EXPECT_EQ(ended(), 3);
  EXPECT_TRUE(relay_->releasable());
}

TEST_F(SentAgain, BeforeWhatTheClientHasSentSince) {
  const std::string limited = query("/* millrace: timeout=1s */ SELECT 1");
  const std::string next = query("DELETE FROM users"), last = query("SELECT 2");
  EXPECT_EQ(sends(limited + next + last), limited) << "which is answered before the next is sent";
  EXPECT_EQ(loses_server(), limited);
  EXPECT_EQ(hears(answer("1")), answer("1"));
  EXPECT_EQ(kinds(), "select 1");
  EXPECT_EQ(goes_on(), next + last);
  EXPECT_FALSE(relay_->may_be_sent_again());
}

TEST_F(SentAgain, NeverWhatMayHaveChangedSomething) {
  for (const std::string_view sql :
       {"INSERT INTO users VALUES (1)", "WITH w AS (DELETE FROM users RETURNING 1) SELECT 1", "SELECT nextval('s')",
        "SELECT not_known()", "SELECT name FROM users FOR UPDATE", "SELECT name INTO t FROM users",
        "SELECT 1; SELECT 2", "SET work_mem = 1", "DO 'BEGIN END'", "CALL p()", "COPY users TO STDOUT",
        "EXPLAIN ANALYZE SELECT 1", "VACUUM", "LISTEN a", "NOTIFY a", "SELECT query_to_xml('x', true, true, '')",
        "SELECT name FROM not_known"}) {
    is_never_sent_again(query(sql));
    is_never_sent_again(batch(sql));
    is_never_sent_again(batch(read_sql) + batch(sql));
    is_never_sent_again(parse("", read_sql) + bind("") + execute() + parse("", sql) + bind("") + execute());
  }
  is_never_sent_again(function_call());
  is_never_sent_again(bind("not known") + execute() + sync());
  is_never_sent_again(parse("", read_sql) + bind("") + execute("cursor") + sync());
  is_never_sent_again(parse("", "INSERT INTO users VALUES ($1)") + bind("") + sync());
}

TEST_F(SentAgain, NeverWhereTheCatalogsAreNotKnown) {
  catalog_.reset();
  is_never_sent_again(query(read_sql));
}

/// What its names mean there may be something else than by the catalogs.
TEST_F(SentAgain, NeverWhereSomethingUnseenMayHaveBeenSet) {
  relay_->attach(server_);
  relay_->attached_from_before();
  is_never_sent_again(query(read_sql));

  begin(Mode::transaction, true, std::nullopt);
  const auto known = std::exchange(catalog_, nullptr);
  sends(query("SELECT something()"));
  hears(answer("1"));
  catalog_ = known;
  is_never_sent_again(query(read_sql));
}

TEST_F(SentAgain, NeverInATransaction) {
  sends(query("BEGIN"));
  is_never_sent_again(query(read_sql));
  sends(query("BEGIN"));
  sends(query(read_sql));
  hears(complete("BEGIN") + ready('T'));
  goes_on();
  EXPECT_TRUE(relay_->query_under_way());
  EXPECT_FALSE(relay_->may_be_sent_again());
  begin();
  sends(query("BEGIN; SELECT 1"));
  hears(complete("BEGIN") + answer("1").substr(0, answer("1").size() - ready().size()) + ready('T'));
  is_never_sent_again(query(read_sql));
}

TEST_F(SentAgain, NeverWhereTheClientNeedsItsConnection) {
  sends(query("LISTEN a"));
  hears(complete("LISTEN") + ready());
  is_never_sent_again(query(read_sql));
  begin(Mode::session);
  is_never_sent_again(query(read_sql));
}

TEST_F(SentAgain, NeverWhereNobodyWantsIt) {
  begin(Mode::transaction, false);
  is_never_sent_again(query(read_sql));
}

TEST_F(SentAgain, NeverOnceSomethingOfTheAnswerHasGoneToTheClient) {
  const std::string heard = parsed() + bound() + answer("a");
  sends(batch(read_sql));
  for (std::size_t some = 1; some < heard.size(); ++some) {
    hears(heard.substr(some - 1, 1));
    EXPECT_EQ(relay_->may_be_sent_again(), some < parsed().size()) << some;
  }
  heard_.clear();
  begin();
  sends(query(read_sql));
  EXPECT_EQ(hears(notice("so it is")), notice("so it is"));
  EXPECT_FALSE(relay_->may_be_sent_again());
}

TEST_F(SentAgain, NeverWhatIsLong) {
  const std::string text = "SELECT name FROM users WHERE name = '" + std::string(Unanswered::most_bytes, 'a') + "'";
  is_never_sent_again(query(text));
  const std::string half = query("SELECT name FROM users WHERE name = '" + std::string(10'000, 'a') + "'");
  sends(half);
  EXPECT_TRUE(relay_->may_be_sent_again());
  is_never_sent_again(half);
}

TEST_F(SentAgain, NeverWhatWasCancelledOrTookTooLong) {
  sends(query(read_sql));
  relay_->forbid_sending_again();
  EXPECT_FALSE(relay_->may_be_sent_again());
  begin();
  sends(query("/* millrace: timeout=1s */ SELECT 1"));
  EXPECT_TRUE(relay_->may_be_sent_again());
  EXPECT_EQ(relay_->exceeds(now_ += 2 * second), Relay::Late::late);
  EXPECT_FALSE(relay_->may_be_sent_again());
}

TEST_F(SentAgain, WithinTheTimeThatItHas) {
  const std::int64_t since = now_ + ms;
  sends(query("/* millrace: timeout=10s */ SELECT 1"));
  now_ += 6 * second;
  loses_server();
  EXPECT_LT(relay_->limit_at(), since + 10 * second + 10 * ms);
  hears(answer("1"));

  sends(query("/* millrace: timeout=10s */ SELECT 2"));
  now_ += 11 * second;
  EXPECT_EQ(loses_server(), "");
  EXPECT_TRUE(answered_.contains("57014")) << answered_;
  EXPECT_EQ(ended(), 2);
  EXPECT_EQ(running(), 0);
}

TEST_F(SentAgain, AQuotaCountsItOnce) {
  executor_->quotas().set_defaults(true, {.hourly_query_limit = 1});
  const std::string read = query("/* millrace: user_id=u1 */ SELECT 1");
  sends(read);
  EXPECT_EQ(loses_server(), read);
  hears(answer("1"));
  EXPECT_EQ(executor_->party("u1", "")->user_account()->used(executor::Window::hour, now_).queries, 1);
}

/// Others may have had its turn, but it doesn't wait for one once more.
TEST_F(SentAgain, ItHasHadItsTurn) {
  sends(query(read_sql));
  input_.insert(0, relay_->unanswered());
  relay_->detach();
  const auto eve = executor_->party("eve", "");
  const auto others = executor_->try_take(*eve, nullptr, now_);
  EXPECT_TRUE(others);
  relay_->take_back(now_ += ms);
  EXPECT_EQ(goes_on(), query(read_sql));
  EXPECT_EQ(running(), 2);
  hears(answer("a"));
  EXPECT_EQ(running(), 1);
}

TEST_F(SentAgain, WhereThereIsNoServerItIsRefused) {
  for (const std::string& read :
       {query(read_sql), batch(read_sql), parse("", read_sql) + bind("") + execute() + flush()}) {
    answered_.clear();
    sends(read);
    input_.insert(0, relay_->unanswered());
    relay_->detach();
    relay_->take_back(now_ += ms);
    EXPECT_EQ(relay_->from_client(bytes_of(input_), now_).next, Next::need_server);
    relay_->lacks_server({.message = "connection refused", .sqlstate = "08001"});
    EXPECT_EQ(goes_on(), "");
    if (read.ends_with(flush())) EXPECT_EQ(sends(sync()), "");
    EXPECT_TRUE(answered_.contains("55000") && answered_.ends_with(ready())) << answered_;
    EXPECT_TRUE(relay_->idle());
    EXPECT_EQ(running(), 0);
  }
  EXPECT_EQ(ended(), 3);
  EXPECT_EQ(monitor_.snapshot().failed_queries(), 3);
}

TEST_F(SentAgain, OnlyTheAnswerThatCameIsKept) {
  sends(query(read_sql));
  loses_server();
  EXPECT_EQ(cache_.l1().counts().entries, 0);
  hears(answer("b"));
  EXPECT_EQ(sends(query(read_sql)), "");
  EXPECT_EQ(answered_, answer("b"));
  EXPECT_EQ(ended(), 2);
}

TEST_F(SentAgain, WhatFollowedInTheFirstRunDoesNotCount) {
  const std::string read = parse("", read_sql) + bind("") + describe_portal() + execute();
  const std::string clock = parse("", "SELECT now()") + bind("") + execute();
  const std::string heard = parsed() + bound() + columns() + row("a") + complete("SELECT 1");
  sends(read + clock + sync());
  loses_server();
  hears(heard + parsed() + bound() + complete("SELECT 0") + ready());
  EXPECT_EQ(sends(read + sync()), "");
  EXPECT_EQ(answered_, heard + ready());
}

/// What the first run may have seen isn't what the second has.
TEST_F(SentAgain, WhatWasChangedMeanwhileMakesTheFirstRunStaleOnly) {
  sends(query(read_sql));
  cache_.versions().changed(pipeline::ReadCache::of_table("crawl", catalog_->find("public", "users")->oid));
  loses_server();
  hears(answer("b"));
  EXPECT_EQ(sends(query(read_sql)), "") << "it was read after the change";
  EXPECT_EQ(answered_, answer("b"));
}

TEST_F(SentAgain, MemoryMayHaveTheAnswerByThen) {
  sends(query(read_sql));
  Relay other(pipeline_, texts_, {.mode = Mode::transaction, .user = "ada", .database = "crawl", .level = eventual});
  other.settings().parameters = server_.parameters;
  Server another;
  other.attach(another);
  EXPECT_EQ(other.from_client(bytes_of(query(read_sql)), now_).next, Next::elsewhere) << "it waits for the first";
  EXPECT_EQ(string_of(other.from_client(bytes_of(query(read_sql)), now_).forward), query(read_sql));
  other.from_server(bytes_of(answer("other")), now_ += ms);
  now_ += 5'000 * ms;
  EXPECT_EQ(loses_server(), "");
  EXPECT_EQ(answered_, answer("other"));
  EXPECT_EQ(running(), 0);
  const std::string limited = "/* millrace: timeout=2s */ SELECT 2";
  EXPECT_EQ(sends(query(limited)), query(limited));
  EXPECT_EQ(relay_->exceeds(now_ += 500 * ms), Relay::Late::no) << "its time begins with itself";
  EXPECT_NE(relay_->exceeds(now_ += 2'000 * ms), Relay::Late::no);
}

TEST_F(SentAgain, NeverWhatWasBoundOnlyAndMayDoSomethingAsItIs) {
  for (const char* sql : {"SELECT nextval('s')", "SELECT mine(1)", "SELECT * FROM unknown"}) {
    begin();
    sends(parse("", sql) + bind("") + sync());
    EXPECT_FALSE(relay_->may_be_sent_again()) << sql;
  }
  begin();
  sends(parse("", read_sql) + bind("") + sync());
  EXPECT_TRUE(relay_->may_be_sent_again());
}

TEST_F(SentAgain, ByTheCatalogsOfTheMomentWhenItIsLost) {
  sends(query(read_sql));
  EXPECT_TRUE(relay_->may_be_sent_again());
  catalog_ = pipeline::test::Database().builder.build();  // in which the table is another, or nothing is known of it
  EXPECT_FALSE(relay_->may_be_sent_again());
}

TEST_F(SentAgain, ACancelThatComesMeanwhileWins) {
  sends(query(read_sql) + query("SELECT 2"));
  EXPECT_TRUE(relay_->may_be_sent_again());
  input_.insert(0, relay_->unanswered());
  relay_->detach();
  relay_->take_back(now_ += ms);
  EXPECT_TRUE(relay_->is_to_rest());
  EXPECT_EQ(relay_->take_rest(), 1);
  EXPECT_FALSE(relay_->is_to_rest()) << "it rests once";
  relay_->cancel_before_sent();
  EXPECT_TRUE(relay_->refuses_next());
  EXPECT_EQ(goes_on(), query("SELECT 2")) << "only what was cancelled";
  EXPECT_TRUE(answered_.contains("57014")) << answered_;
  EXPECT_FALSE(relay_->refuses_next());
}

TEST_F(SentAgain, AFarewellIsKeptFromTheClient) {
  for (const std::string& farewell :
       {fatal("57P01"), columns() + fatal("57P02"), fatal("57P03"), parsed() + bound() + columns() + fatal("57P01")}) {
    begin();
    sends(batch(read_sql));
    EXPECT_EQ(hears(farewell), "");
    EXPECT_TRUE(relay_->has_farewell());
    EXPECT_FALSE(relay_->fatal_seen());
    EXPECT_EQ(loses_server(), batch(read_sql));
    EXPECT_FALSE(relay_->has_farewell());
  }
}

TEST_F(SentAgain, WhereItIsNotSentAgainTheClientHearsTheFarewell) {
  const std::string farewell = columns() + fatal("57P01");
  sends(query(read_sql));
  EXPECT_EQ(hears(farewell), "");
  EXPECT_EQ(std::exchange(heard_, ""), farewell);
  EXPECT_EQ(hears(relay_->take_farewell()), farewell);
  EXPECT_TRUE(relay_->fatal_seen());
  EXPECT_FALSE(relay_->has_farewell());
  relay_->lost(now_);
  EXPECT_EQ(ended(), 1);
}

/// By then others may have the connection.
TEST_F(SentAgain, AFarewellBehindTheAnswerIsNotTheClients) {
  sends(query("SELECT 1"));
  EXPECT_EQ(hears(answer("1") + fatal("57P01")), answer("1"));
  EXPECT_FALSE(relay_->fatal_seen());
  EXPECT_TRUE(relay_->releasable());
  EXPECT_TRUE(servers_.back().tainted);

  sends(query("LISTEN a"));
  const std::string heard = complete("LISTEN") + ready() + fatal("57P01");
  EXPECT_EQ(hears(heard), heard) << "it needs that connection";
}

/// As which PostgreSQL says it where it has no time; but so may a function.
TEST_F(SentAgain, ANoticeIsNoFarewellIfMoreComes) {
  for (const bool more : {false, true}) {
    begin();
    heard_.clear();
    sends(query(read_sql));
    const std::string said = columns() + warning("57P02");
    EXPECT_EQ(hears(said), "");
    EXPECT_FALSE(relay_->has_farewell()) << "the server isn't left for it";
    if (!more) {
      EXPECT_EQ(loses_server(), query(read_sql));
      continue;
    }
    EXPECT_EQ(hears(row("a")), said + row("a"));
    EXPECT_FALSE(relay_->may_be_sent_again());
    EXPECT_EQ(relay_->take_farewell(), "");
  }
}

TEST_F(SentAgain, WhatIsNoFarewellIsTheClients) {
  for (const std::string& heard : {columns() + row("a") + fatal("57P01"), error("57014", "canceling statement"),
                                   fatal("57P05"), error("57P01", "of a function"), notice("57P01")}) {
    begin();
    sends(query(read_sql));
    EXPECT_EQ(hears(heard), heard);
    EXPECT_FALSE(relay_->may_be_sent_again());
  }
  begin();
  sends(query("INSERT INTO users VALUES (1)"));
  EXPECT_EQ(hears(fatal("57P01")), fatal("57P01"));
}

}  // namespace
}  // namespace millrace::gateway
