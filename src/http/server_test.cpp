// The server on a real port, spoken to by a client that sends exact bytes.
#include "http/server.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "http/api_table.hpp"
#include "http/test_client.hpp"
#include "http/test_server.hpp"

namespace millrace::http {
namespace sample {

struct Echo {
  std::string text;
  std::optional<std::uint32_t> times;
};
BOOST_DESCRIBE_STRUCT(Echo, (), (text, times))

struct Echoed {
  std::string text;
  std::uint64_t length = 0;
};
BOOST_DESCRIBE_STRUCT(Echoed, (), (text, length))

struct Name {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(Name, (), (name))

}  // namespace sample

namespace {

using namespace std::chrono_literals;
using sample::Echo;
using sample::Echoed;
using sample::Name;

Echoed repeated(const Echo& request) {
  Echoed answer;
  for (std::uint32_t i = 0; i < request.times.value_or(1); ++i) answer.text += request.text;
  answer.length = answer.text.size();
  return answer;
}

asio::awaitable<Echoed> echo_query(Query<Echo> request) { co_return repeated(request.value); }
asio::awaitable<Echoed> echo_body(Body<Echo> request) { co_return repeated(request.value); }

asio::awaitable<Reply<Name>> put_name(Path<Name> path) {
  co_return Reply<Name>{path.value, {{"Location", "/names/" + path->name}}};
}
asio::awaitable<Reply<NoContent>> delete_name(Path<Name> path) {
  if (path->name == "kept") co_return problem(409, "it is kept");
  co_return NoContent{};
}

std::atomic<int> slow_requests{0};

asio::awaitable<Echoed> slow() {
  ++slow_requests;
  co_await wait(300ms);
  co_return Echoed{.text = "slow", .length = 4};
}

asio::awaitable<Echoed> throw_a_number() {
  throw 1;
  co_return Echoed{};
}

std::shared_ptr<const Router> routes() {
  ApiTable table;
  table.add("GET", {.path = "/echo", .summary = "Says it again"}, echo_query);
  table.add("POST", {.path = "/echo", .summary = "Says it again"}, echo_body);
  table.add("GET", {.path = "/large", .summary = "Is large", .media_type = "text/plain"},
            [] { return ready({.body = std::string(64 << 20, 'x')}); });
  table.add("PUT", {.path = "/names/{name}", .summary = "Makes it", .status = 201}, put_name);
  table.add("DELETE", {.path = "/names/{name}", .summary = "Takes it away", .status = 204}, delete_name);
  table.add("GET", {.path = "/number", .summary = "Fails"}, throw_a_number);
  table.add("GET", {.path = "/slow", .summary = "Takes its time"}, slow);
  return table.router("Test", "1");
}

/// A server with these routes.
class Running : public TestServer {
 public:
  explicit Running(ServerLimits limits = {}, std::shared_ptr<const net::TlsContext> tls = {})
      : TestServer(routes(), limits, std::move(tls)) {}
};

TEST(Server, KeepsTheConnection) {
  Running server;
  TestClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.send(get("/echo?text=hi"));
    const auto answer = client.receive();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, R"({"text":"hi","length":2})");
    EXPECT_TRUE(has(answer, "Content-Type: application/json"));
    EXPECT_TRUE(has(answer, "Connection: keep-alive"));
  }
  client.send(get("/echo?text=bye", "Connection: close\r\n"));
  EXPECT_TRUE(has(client.receive(), "Connection: close"));
  EXPECT_TRUE(client.closed_within(5s));
}

TEST(Server, ClosesAfterHttp10UnlessAsked) {
  Running server;
  TestClient client(server.port());
  client.send("GET /echo?text=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(has(client.receive(), "Connection: keep-alive"));
  client.send("GET /echo?text=a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(client.closed_within(5s));
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  Running server;
  TestClient client(server.port());
  std::string all = get("/slow");
  for (int i = 0; i < 200; ++i) all += get(fmt::format("/echo?text={}", i));
  all += post("/echo", R"({"text":"end","times":2})");
  client.send(all);
  EXPECT_EQ(client.receive().body, R"({"text":"slow","length":4})");
  for (int i = 0; i < 200; ++i) {
    ASSERT_NE(client.receive().body.find(fmt::format("\"text\":\"{}\"", i)), std::string::npos) << i;
  }
  EXPECT_EQ(client.receive().body, R"({"text":"endend","length":6})");
}

TEST(Server, HeadHasTheHeaderOfGet) {
  Running server;
  TestClient client(server.port());
  client.send("HEAD /echo?text=abc HTTP/1.1\r\nHost: h\r\n\r\n" + get("/echo?text=x"));
  const auto head = client.receive(false);
  EXPECT_EQ(head.status, 200);
  EXPECT_TRUE(has(head, "Content-Length: 25"));
  EXPECT_EQ(client.receive().body, R"({"text":"x","length":1})");
}

TEST(Server, AnswersWithAnyStatus) {
  Running server;
  TestClient client(server.port());
  client.send("PUT /names/a%0D%0AX:%20y HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto created = client.receive();
  EXPECT_EQ(created.status, 201);
  EXPECT_TRUE(has(created, "Location: /names/a  X: y"));
  EXPECT_EQ(created.body, R"({"name":"a\u000d\nX: y"})");
  client.send("DELETE /names/a HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto deleted = client.receive();
  EXPECT_TRUE(deleted.header.starts_with("HTTP/1.1 204 No Content\r\n"));
  EXPECT_EQ(deleted.header.find("Content-"), std::string::npos);
  client.send("DELETE /names/kept HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.receive().body, R"({"detail":"it is kept"})");
  client.send("PATCH /names/a HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(has(client.receive(), "Allow: DELETE, PUT"));
}

TEST(Server, TakesABodyInChunksAfterContinue) {
  Running server;
  TestClient client(server.port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json; charset=utf-8\r\n"
      "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.receive().status, 100);
  client.send("8\r\n{\"text\":\r\n");
  client.send("5\r\n\"hi\"}\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().body, R"({"text":"hi","length":2})");
}

TEST(Server, AnswersErrorsInFastApisShapeAndGoesOn) {
  Running server;
  TestClient client(server.port());
  const auto expect = [&](const std::string& request, int status, std::string_view body) {
    client.send(request);
    const auto answer = client.receive();
    EXPECT_EQ(answer.status, status) << request;
    EXPECT_EQ(answer.body, body) << request;
    return answer;
  };
  expect(get("/nowhere"), 404, R"({"detail":"Not Found"})");
  const auto wrong = expect("DELETE /echo/ HTTP/1.1\r\nHost: h\r\n\r\n", 405, R"({"detail":"Method Not Allowed"})");
  EXPECT_TRUE(has(wrong, "Allow: GET, HEAD, POST"));
  expect(get("/echo"), 422, R"({"detail":[{"loc":["query","text"],"msg":"is required","type":"missing"}]})");
  expect(post("/echo", R"({"text":"a","time":1})"), 422,
         R"({"detail":[{"loc":["body","time"],"msg":"is not known here","type":"extra_forbidden"}]})");
  expect("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 422,
         R"({"detail":[{"loc":["body"],"msg":"must be sent as application/json","type":"json_type"}]})");
  client.send(get("/echo?text=still%20here"));
  EXPECT_EQ(client.receive().status, 200);
}

TEST(Server, RefusesAndClosesWhatItCannotRead) {
  Running server({.message = {.header_bytes = 1000, .body_bytes = 100}});
  const auto refused = [&](const std::string& bytes) {
    TestClient client(server.port());
    client.send(bytes);
    const auto answer = client.receive();
    EXPECT_TRUE(has(answer, "Connection: close"));
    EXPECT_TRUE(client.closed_within(5s));
    return answer.status;
  };
  EXPECT_EQ(refused("garbage\r\n\r\n"), 400);
  EXPECT_EQ(refused(get("/x", "X: " + std::string(1000, 'x') + "\r\n")), 431);
  EXPECT_EQ(refused("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n"), 413);
  // More than the kernel's buffers hold: the answer must come although the client is still sending.
  EXPECT_EQ(refused(post("/echo", std::string(3'000'000, ' '))), 413);
}

TEST(Server, ClosesSlowAndIdleClients) {
  Running server({.header_time = 300ms, .body_time = 300ms, .idle_time = 2s});
  TestClient silent(server.port());
  TestClient trickling(server.port());
  TestClient stuck_in_body(server.port());
  stuck_in_body.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{");
  const auto start = std::chrono::steady_clock::now();
  for (const char c : std::string_view("GET / HTTP/1.1\r\nX: 12345678901234567890")) {
    if (!trickling.send({&c, 1})) break;
    std::this_thread::sleep_for(20ms);
    if (std::chrono::steady_clock::now() - start > 450ms) break;
  }
  EXPECT_EQ(trickling.receive().status, 408);
  EXPECT_EQ(stuck_in_body.receive().status, 408);
  EXPECT_EQ(silent.receive().status, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

TEST(Server, ClosesAClientThatTakesNoAnswers) {
  Running server({.write_time = 300ms});
  TestClient client(server.port());
  client.send(get("/large") + get("/large"));  // more than the kernel's buffers hold
  std::this_thread::sleep_for(1s);
  EXPECT_EQ(client.receive().status, 0);
  EXPECT_TRUE(client.closed_within(5s));
}

TEST(Server, TurnsAwayWhoIsTooMany) {
  Running server({.connections = 2});
  auto first = std::make_unique<TestClient>(server.port());
  TestClient second(server.port());
  first->send(get("/echo?text=a"));
  second.send(get("/echo?text=a"));
  EXPECT_EQ(first->receive().status, 200);
  EXPECT_EQ(second.receive().status, 200);
  EXPECT_EQ(TestClient(server.port()).receive().status, 503);
  first.reset();
  int status = 0;
  for (int tries = 0; tries < 100 && status != 200; ++tries) {
    TestClient next(server.port());
    next.send(get("/echo?text=a"));
    status = next.receive().status;
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(status, 200);
}

TEST(Server, SpeaksTlsOnTheSamePort) {
  Running server({}, test_tls());
  TestClient client(server.port(), TestClient::Tls::on);
  client.send(get("/echo?text=a") + post("/echo", fmt::format(R"({{"text":"{:100000}"}})", 1)));
  EXPECT_EQ(client.receive().body, R"({"text":"a","length":1})");
  EXPECT_EQ(client.receive().body.size(), 100'000 + 27);
  TestClient plain(server.port());
  plain.send(get("/echo?text=a"));
  EXPECT_EQ(plain.receive().status, 0);
}

TEST(Server, ClosesSlowTlsClients) {
  Running server({.header_time = 1s}, test_tls());
  TestClient silent(server.port());
  TestClient slow(server.port(), TestClient::Tls::on);
  slow.send("GET /slow");
  EXPECT_EQ(slow.receive().status, 408);
  EXPECT_TRUE(silent.closed_within(5s));
}

TEST(Server, StopEndsIdleConnectionsAndFinishesBusyOnes) {
  Running server;
  TestClient idle(server.port());
  TestClient busy(server.port());
  idle.send(get("/echo?text=a"));
  EXPECT_EQ(idle.receive().status, 200);
  slow_requests = 0;
  busy.send(get("/slow"));
  while (slow_requests == 0) std::this_thread::sleep_for(1ms);
  server.server().stop();
  EXPECT_TRUE(idle.closed_within(5s));
  const auto answer = busy.receive();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(has(answer, "Connection: close"));
  EXPECT_TRUE(busy.closed_within(5s));
}

TEST(Server, StopEndsConnectionsThatBecomeIdle) {
  Running server;
  TestClient client(server.port());
  client.send(get("/large"));  // more than the kernel's buffers hold
  std::this_thread::sleep_for(100ms);
  server.server().stop();
  std::this_thread::sleep_for(100ms);
  const auto answer = client.receive();
  EXPECT_TRUE(has(answer, "Connection: keep-alive"));
  EXPECT_EQ(answer.body.size(), 64U << 20);
  EXPECT_TRUE(client.closed_within(5s));
}

TEST(Server, TheLastAnswerComesThoughThereIsMoreToRead) {
  Running server;
  TestClient client(server.port());
  client.send(get("/echo?text=a", "Connection: close\r\n") + std::string(100'000, 'x'));
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_TRUE(client.closed_within(5s));
  EXPECT_FALSE(client.was_reset());
}

TEST(Server, SurvivesHandlersThatThrowAnything) {
  Running server({.connections = 1});
  {
    TestClient client(server.port());
    client.send(get("/number") + get("/echo?text=a"));
    EXPECT_EQ(client.receive().status, 500);
    EXPECT_EQ(client.receive().status, 200);
    EXPECT_EQ(server.server().connections(), 1);
  }
  EXPECT_TRUE(within(5s, [&] { return server.server().connections() == 0; }));
}

TEST(Server, SurvivesClientsThatVanish) {
  Running server;
  const std::string whole = post("/echo", R"({"text":"abcdefgh"})") + get("/slow");
  for (std::size_t length = 0; length <= whole.size(); length += 3) {
    TestClient client(server.port());
    client.send(whole.substr(0, length));
  }
  TestClient after(server.port());
  after.send(get("/echo?text=a"));
  EXPECT_EQ(after.receive().status, 200);
}

TEST(Server, SaysWhyItCannotListen) {
  Running server;
  asio::io_context context;
  const auto second = Server::start({&context}, {.listen = {.host = "127.0.0.1", .port = server.port()}}, routes());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("could not listen"), std::string::npos);
}

}  // namespace
}  // namespace millrace::http
