// The relay passes on what both sides say, and stops where either breaks the protocol.
#include "gateway/relay_test.hpp"
#include "pipeline/moment_token.hpp"

namespace millrace::gateway {
namespace {

using namespace wire;

struct Exchange {
  std::string client, server;
};

/// Conversations in which no name is translated: byte for byte the same in both modes.
std::vector<Exchange> plain_exchanges() {
  return {
      {query("SELECT 1"), columns() + row("1") + complete("SELECT 1") + ready()},
      {query("SELECT 1; SELECT 2"),
       columns() + row("1") + complete("SELECT 1") + columns() + row("2") + complete("SELECT 1") + ready()},
      {query(""), empty_query() + ready()},
      {query("SELEC"), error("42601", "syntax error") + ready()},
      {query("SELECT 1") + query("SELECT 2"),
       columns() + complete("SELECT 0") + ready() + columns() + complete("SELECT 0") + ready()},
      {query("SELECT 1"),
       notice("n") + parameter("TimeZone", "UTC") + notification("c") + columns() + complete("SELECT 0") + ready()},
      {parse("", "SELECT $1") + describe_statement("") + flush() + sync(),
       parsed() + parameter_types() + columns() + ready()},
      {parse("", "SELECT $1") + bind("") + describe_portal() + execute() + sync(),
       parsed() + bound() + columns() + row("1") + complete("SELECT 1") + ready()},
      {parse("", "SELECT 1") + bind("", "p") + execute("p", 1) + execute("p", 1) + close_portal("p") + sync(),
       parsed() + bound() + row("1") + suspended() + complete("SELECT 0") + closed() + ready()},
      {parse("", "") + bind("") + describe_portal() + execute() + sync(),
       parsed() + bound() + no_data() + empty_query() + ready()},
      {parse("", "SELECT 1/0") + bind("") + execute() + sync(),
       parsed() + bound() + error("22012", "division by zero") + ready()},
      {query("COPY t FROM STDIN") + copy_data("1\n") + copy_done(), copy_in() + complete("COPY 1") + ready()},
      {query("COPY t TO STDOUT"), copy_out() + copy_data("1\n") + copy_done() + complete("COPY 1") + ready()},
      {function_call(), function_result() + ready()},
  };
}

TEST(Relay, PassesOnEveryByteInBothModes) {
  for (const Mode mode : {Mode::session, Mode::transaction}) {
    for (const auto& [client_bytes, server_bytes] : plain_exchanges()) {
      World world;
      Server server;
      Client client(world, mode);
      client.on(server);
      const auto step = client.relay.from_client(bytes_of(client_bytes), 1);
      EXPECT_EQ(step.used, client_bytes.size());
      EXPECT_EQ(static_cast<const void*>(step.forward.data()), client_bytes.data()) << "copied";
      EXPECT_EQ(step.forward.size(), client_bytes.size());
      EXPECT_FALSE(client.relay.idle());
      EXPECT_EQ(client.hears(server_bytes), server_bytes);
      EXPECT_TRUE(client.relay.idle());
    }
  }
}

TEST(Relay, TakesMessagesInWhateverPartsTheyCome) {
  for (const Mode mode : {Mode::session, Mode::transaction}) {
    for (const auto& [client_bytes, server_bytes] : plain_exchanges()) {
      World world;
      Server server;
      Client client(world, mode);
      client.on(server);
      const auto in_parts = [](std::string_view whole, auto feed) {
        std::string passed_on, waiting;
        for (const char byte : whole) {
          waiting += byte;
          const auto step = feed(bytes_of(waiting));
          passed_on += string_of(step.forward);
          waiting.erase(0, step.used);
        }
        EXPECT_TRUE(waiting.empty());
        return passed_on;
      };
      EXPECT_EQ(in_parts(client_bytes, [&](auto bytes) { return client.relay.from_client(bytes, 1); }), client_bytes);
      EXPECT_EQ(in_parts(server_bytes, [&](auto bytes) { return client.relay.from_server(bytes, 1); }), server_bytes);
      EXPECT_TRUE(client.relay.idle());
    }
  }
}

TEST(Relay, AsksForAServerConnectionWhenThereIsSomethingToSend) {
  World world;
  Server server;
  Client client(world, Mode::transaction);
  const std::string bytes = query("SELECT 1");
  EXPECT_EQ(client.relay.from_client(bytes_of(bytes).first(3), 1).next, Relay::Next::more);
  const auto step = client.relay.from_client(bytes_of(bytes), 1);
  EXPECT_EQ(step.next, Relay::Next::need_server);
  EXPECT_EQ(step.used, 0U);
  client.on(server);
  EXPECT_EQ(client.sends(bytes), bytes);
}

TEST(Relay, AGoodbyeNeedsNoServerConnection) {
  World world;
  Client client(world, Mode::transaction);
  const std::string bytes = terminate();
  const auto step = client.relay.from_client(bytes_of(bytes), 1);
  EXPECT_EQ(step.next, Relay::Next::terminate);
  EXPECT_TRUE(step.forward.empty());
}

TEST(Relay, WhatCameBeforeABreakIsPassedOn) {
  World world;
  Server server;
  Client client(world, Mode::session);
  client.on(server);
  const std::string good = query("SELECT 1");
  const std::string bytes = good + terminate();
  const auto step = client.relay.from_client(bytes_of(bytes), 1);
  EXPECT_EQ(step.next, Relay::Next::terminate);
  EXPECT_EQ(string_of(step.forward), good);
  EXPECT_EQ(step.used, good.size());
}

TEST(Relay, ClientsThatBreakTheProtocolAreToldSo) {
  using namespace std::string_literals;
  for (const auto& bytes :
       {"\0\0\0\0\4"s, "p\0\0\0\5x"s, "Q\0\0\0\3"s, "Q\xff\xff\xff\xff"s, "S\0\0\x7f\xff"s, "GET / HTTP/1.1\r\n"s}) {
    World world;
    Server server;
    Client client(world, Mode::transaction);
    client.on(server);
    const auto step = client.relay.from_client(bytes_of(bytes), 1);
    EXPECT_EQ(step.next, Relay::Next::broken);
    EXPECT_TRUE(step.forward.empty());
    EXPECT_EQ(client.relay.error().sqlstate, "08P01");
  }
}

TEST(Relay, MessagesOverTheLimitAreRefusedByTheirHeader) {
  World world;
  Server server;
  Client client(world, Mode::session, 1000);
  client.on(server);
  client.sends(query(std::string(900, ' ')));
  const std::string large = query(std::string(1000, ' '));
  EXPECT_EQ(client.relay.from_client(bytes_of(large).first(pgwire::header_size), 1).next, Relay::Next::broken);
}

TEST(Relay, AnswersThatNobodyAskedForBreakTheConnection) {
  const std::string asked = parse("", "SELECT 1") + bind("") + execute() + sync();
  const std::vector<Exchange> cases = {
      {"", row("1")},
      {"", parsed()},
      {"", complete("SELECT 1")},
      {"", copy_in()},
      {"", function_result()},
      {asked, bound()},
      {asked, parsed() + parsed()},
      {asked, parsed() + row("1")},
      {asked, parsed() + no_data()},
      {asked, parsed() + ready()},
      {asked, parsed() + bound() + ready()},
      {asked, parsed() + bound() + complete("SELECT 1") + row("1")},
      {query("SELECT 1"), function_result()},
      {query("SELECT 1"), complete("SELECT 1") + ready() + complete("SELECT 1")},
  };
  for (const Mode mode : {Mode::session, Mode::transaction}) {
    for (const auto& [client_bytes, server_bytes] : cases) {
      World world;
      Server server;
      Client client(world, mode);
      client.on(server);
      client.sends(client_bytes);
      EXPECT_TRUE(client.relay.from_server(bytes_of(server_bytes), 1).broken) << server_bytes;
      EXPECT_FALSE(client.relay.error().message.empty());
    }
  }
}

TEST(Relay, ServersThatSendNoMessagesBreakTheConnection) {
  using namespace std::string_literals;
  for (const auto& bytes : {"Z\0\0\0\3"s, "Z\0\0\0\4"s, "Z\0\0\0\5x"s, "C\0\0\0\6xx"s, "D\xff\xff\xff\xff"s,
                            "?\0\0\0\4"s, "C\0\1\0\0"s, "S\0\0\0\5x"s, "R\0\0\0\x8\0\0\0\0"s}) {
    World world;
    Server server;
    Client client(world, Mode::session);
    client.on(server);
    client.sends(query("SELECT 1"));
    const auto step = client.relay.from_server(bytes_of(bytes), 1);
    EXPECT_TRUE(step.broken) << bytes;
    EXPECT_TRUE(step.forward.empty());
  }
}

TEST(Relay, LargeMessagesArePassedOnInParts) {
  constexpr std::size_t part = 64 * 1024;
  World world;
  Server server;
  Client client(world, Mode::transaction);
  client.on(server);
  client.prepares("s", "INSERT INTO t VALUES ($1)");

  const std::string value(10 * part, 'v');
  std::string large;
  pgwire::append_bind(large, {.statement = "s", .values = std::array{pgwire::Value(value)}});
  std::size_t passed_on = 0;
  for (std::size_t at = 0; at < large.size(); at += part) {
    const auto slice = std::string_view(large).substr(at, part);
    passed_on += client.sends(slice).size();
    EXPECT_EQ(client.relay.client_mid_message(), at + part < large.size());
  }
  EXPECT_EQ(passed_on, large.size() + std::string_view("mr_1").size() - 1);
  client.sends(execute() + sync());

  const std::string answer = bound() + row(value) + complete("INSERT 0 1") + ready();
  for (std::size_t at = 0; at < answer.size(); at += part) {
    const auto slice = std::string_view(answer).substr(at, part);
    EXPECT_EQ(client.hears(slice), slice);
    EXPECT_EQ(client.relay.server_mid_message(), at + part < answer.size());
    EXPECT_EQ(client.relay.releasable(), at + part >= answer.size());
  }
}

TEST(Relay, TextsOverTheLimitOfParsingArePassedOnInParts) {
  World world;
  Server server;
  Client client(world, Mode::transaction);
  client.on(server);
  const std::string large = query("SELECT '" + std::string(world.limits.max_bytes, 'x') + "'");
  EXPECT_EQ(client.sends(std::string_view(large).substr(0, 100)), large.substr(0, 100));
  EXPECT_TRUE(client.relay.client_mid_message());
  EXPECT_EQ(client.sends(std::string_view(large).substr(100)), large.substr(100));
  client.hears(columns() + row("x") + complete("SELECT 1") + ready());
  EXPECT_FALSE(client.relay.pinned().empty()) << "nobody knows what it did";
}

TEST(Relay, LongTextsAreParsedElsewhere) {
  World world;
  Server server;
  Client client(world, Mode::transaction);
  client.on(server);
  const std::string text = "SET work_mem = 1 " + std::string(world.limits.inline_bytes, ' ');
  std::string buffer = query("SELECT 1") + query(text);
  const auto step = client.relay.from_client(bytes_of(buffer), 1);
  ASSERT_EQ(step.next, Relay::Next::parse);
  EXPECT_EQ(string_of(step.forward), query("SELECT 1"));
  buffer.erase(0, step.used);  // what the text to parse stood in has moved
  const std::string to_parse = client.relay.take_to_parse();
  EXPECT_EQ(to_parse, text);
  client.relay.parsed(sql::parse(to_parse));
  EXPECT_EQ(client.sends(buffer), query(text));
  client.hears(columns() + complete("SELECT 0") + ready() + complete("SET") + ready());
  ASSERT_TRUE(client.relay.settings().current());
  EXPECT_EQ(client.relay.settings().current()->front().name, "work_mem");
}

TEST(Relay, WhatWasParsedForASkippedMessageIsForgotten) {
  World world;
  Server server;
  Client client(world, Mode::transaction);
  client.on(server);
  client.sends(bind("nobody"));
  const std::string text = "SELECT 1 " + std::string(world.limits.inline_bytes, ' ');
  const std::string bytes = parse("s", text);
  ASSERT_EQ(client.relay.from_client(bytes_of(bytes), 1).next, Relay::Next::parse);
  client.hears(error("26000", "prepared statement \"nobody\" does not exist"));
  client.relay.parsed(sql::parse(text));
  client.sends(bytes + sync());
  client.hears(ready());
  client.asks("LISTEN c", "LISTEN");
  EXPECT_EQ(client.relay.pinned(), "listen");
}

TEST(Relay, AShutdownsErrorAnswersNothing) {
  World world;
  Server server;
  Client client(world, Mode::session);
  client.on(server);
  const std::string goodbye = error("57P01", "terminating connection", "FATAL");
  EXPECT_FALSE(client.relay.fatal_seen());
  EXPECT_EQ(client.hears(goodbye), goodbye);
  EXPECT_TRUE(client.relay.fatal_seen());
}

TEST(Relay, QueriesAreRecorded) {
  World world;
  Server server;
  Client client(world, Mode::transaction);
  client.on(server);
  client.asks("SELECT 1", "SELECT 3");
  client.sends(parse("", "INSERT INTO t VALUES (1)") + bind("") + execute() + sync());
  client.hears(parsed() + bound() + complete("INSERT 0 2") + ready());
  client.sends(parse("", "SELECT 1/0") + bind("") + execute() + sync());
  client.hears(parsed() + bound() + error("22012", "division by zero") + ready());
  client.sends(query("SELEC"));
  client.hears(error("42601", "syntax error") + ready());

  const auto snapshot = world.monitor.snapshot();
  const auto queries = [&](sql::StatementKind kind) { return snapshot.kinds[static_cast<std::size_t>(kind)].queries; };
  EXPECT_EQ(snapshot.queries(), 4U);
  EXPECT_EQ(snapshot.failed_queries(), 2U);
  EXPECT_EQ(snapshot.errors[SqlstateClass::index("22012")], 1U);
  EXPECT_EQ(snapshot.errors[SqlstateClass::index("42601")], 1U);
  EXPECT_EQ(snapshot.rows, 5U);
  EXPECT_EQ(queries(sql::StatementKind::select), 2U);
  EXPECT_EQ(queries(sql::StatementKind::insert), 1U);
  EXPECT_EQ(queries(sql::StatementKind::unparsed), 1U);
}

TEST(Relay, ARecordsTimeBeginsWithTheWaitForAConnection) {
  World world;
  Server server;
  Client client(world, Mode::transaction);
  client.on(server);
  client.relay.count_wait(400);
  client.now = 1000;
  client.sends(query("SELECT 1"));
  client.now = 1500;
  client.hears(columns());
  client.now = 2000;
  client.hears(complete("SELECT 0") + ready());
  const auto snapshot = world.monitor.snapshot();
  EXPECT_EQ(snapshot.queue_waits.sum(), 400U);
  EXPECT_EQ(snapshot.first_bytes.sum(), 900U);
  EXPECT_EQ(snapshot.all_durations().sum(), 1400U);
}

/// Whatever the server says: the token is of the moment at which that came, and fits the message.
TEST(Relay, PutsATokenIntoTheServersAnswer) {
  for (const Mode mode : {Mode::session, Mode::transaction}) {
    World world;
    Server server;
    Client client(world, mode);
    client.on(server);
    const std::string asked = "SHOW server_version_num /* millrace.token */";
    const auto sent = client.sends(parse("", "BEGIN") + bind("") + execute() + parse("", "SHOW millrace.token") +
                                   bind("") + describe_portal() + execute() + sync());
    EXPECT_EQ(sent, parse("", "BEGIN") + bind("") + execute() + parse("", asked) + bind("") + describe_portal() +
                        execute() + sync());
    const std::string begun = parsed() + bound() + complete("BEGIN") + parsed() + bound();
    EXPECT_EQ(client.hears(begun), begun);
    const std::string said = columns() + row("150000") + complete("SHOW") + ready('T');
    const auto first_half = client.relay.from_server(bytes_of(said).first(columns().size() + 8), ++client.now);
    EXPECT_EQ(first_half.used, columns().size()) << "a part of a row is waited for";
    EXPECT_NE(string_of(first_half.forward).find("millrace.token"), std::string::npos);
    const auto heard = client.hears(std::string_view(said).substr(first_half.used));
    EXPECT_EQ(heard, row(pipeline::moment_token(client.now)) + complete("SHOW") + ready('T'));
  }
}

}  // namespace
}  // namespace millrace::gateway
