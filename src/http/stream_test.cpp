// Bodies that are written and read in parts, and authentication before them, over real sockets.
#include <gtest/gtest.h>

#include <atomic>

#include "http/api_table.hpp"
#include "http/test_client.hpp"
#include "http/test_server.hpp"

namespace millrace::http {
namespace sample {

struct Count {
  std::uint64_t parts = 0;
  std::optional<std::uint64_t> bytes;
};
BOOST_DESCRIBE_STRUCT(Count, (), (parts, bytes))

struct Uploaded {
  std::uint64_t bytes = 0;
  std::uint64_t sum = 0;
};
BOOST_DESCRIBE_STRUCT(Uploaded, (), (bytes, sum))

}  // namespace sample

namespace {

using namespace std::chrono_literals;
using sample::Count;
using sample::Uploaded;

std::atomic<std::uint64_t> parts_written{0};
std::atomic<std::uint64_t> bytes_read{0};
std::atomic<int> handlers_called{0};

asio::awaitable<void> write_parts(BodyWriter& out, Count count) {
  const Ending ending;
  const std::string part(count.bytes.value_or(8), 'x');
  for (std::uint64_t i = 0; i < count.parts; ++i) {
    if (!co_await out.write(part)) co_return;
    ++parts_written;
  }
}

asio::awaitable<Response> parts(Query<Count> count) {
  co_return Response{.stream = [count](BodyWriter& out) { return write_parts(out, count.value); }};
}

asio::awaitable<void> write_events(BodyWriter& out) {
  const Ending ending;
  co_await out.write("data: first\n\n");
  co_await wait(1h);
}

asio::awaitable<Response> events() { co_return Response{.stream = write_events}; }

asio::awaitable<void> write_half(BodyWriter& out) {
  co_await out.write("half");
  throw std::runtime_error("no more");
}

asio::awaitable<Response> half() { co_return Response{.stream = write_half}; }

asio::awaitable<Response> unchanged() {
  co_return Response{.status = 304,
                     .stream = [](BodyWriter& out) { return write_parts(out, {.parts = 3, .bytes = 8}); }};
}

asio::awaitable<void> write_what_is_read(BodyReader& body, BodyWriter& out) {
  const Result<std::string> part = co_await body.read();
  co_await out.write(part ? *part : part.error().message);
}

asio::awaitable<Response> read_late(BodyReader& body) {
  co_return Response{.stream = [&body](BodyWriter& out) { return write_what_is_read(body, out); }};
}

asio::awaitable<void> throw_a_number(BodyWriter& out) {
  co_await out.write("half");
  throw 1;
}

/// Neither waits nor asks whether anybody takes it.
asio::awaitable<void> write_regardless(BodyWriter& out) {
  const Ending ending;
  const std::string part(65536, 'x');
  while (true) co_await out.write(part);
}

asio::awaitable<Response> regardless() { co_return Response{.stream = write_regardless}; }

asio::awaitable<Response> number() { co_return Response{.stream = throw_a_number}; }

asio::awaitable<Uploaded> upload(BodyReader& body) {
  const Ending ending;
  ++handlers_called;
  Uploaded got;
  while (true) {
    const Result<std::string> part = co_await body.read();
    if (!part || part->empty()) co_return got;
    got.bytes += part->size();
    bytes_read = got.bytes;
    for (const char c : *part) got.sum += static_cast<unsigned char>(c);
  }
}

asio::awaitable<Reply<Uploaded>> upload_slowly(BodyReader& body) {
  co_await wait(300ms);
  co_return co_await upload(body);
}

asio::awaitable<Reply<Uploaded>> refuse_upload(BodyReader&) { co_return problem(409, "not now"); }

std::shared_ptr<const Router> routes(bool guarded) {
  ApiTable table;
  if (guarded) table.authenticate("bearer", with_password);
  table.add("GET", {.path = "/parts", .summary = "", .media_type = "application/x-ndjson"}, parts);
  table.add("GET", {.path = "/events", .summary = "", .media_type = "text/event-stream"}, events);
  table.add("GET", {.path = "/half", .summary = ""}, half);
  table.add("GET", {.path = "/unchanged", .summary = ""}, unchanged);
  table.add("GET", {.path = "/number", .summary = ""}, number);
  table.add("GET", {.path = "/regardless", .summary = ""}, regardless);
  table.add("POST", {.path = "/read-late", .summary = ""}, read_late);
  table.add("POST", {.path = "/upload", .summary = "", .body_bytes = 64 << 20}, upload);
  table.add("POST", {.path = "/slow-upload", .summary = "", .body_bytes = 64 << 20}, upload_slowly);
  table.add("POST", {.path = "/small", .summary = ""}, upload);
  table.add("POST", {.path = "/refused-small", .summary = "", .body_bytes = 1}, refuse_upload);
  table.add("POST", {.path = "/refused", .summary = "", .body_bytes = 64 << 20}, refuse_upload);
  return table.router("Test", "1");
}

/// The counters start from nothing.
class Running : public TestServer {
 public:
  explicit Running(ServerLimits limits = {}, std::shared_ptr<const net::TlsContext> tls = {}, bool guarded = false)
      : TestServer(routes(guarded), limits, std::move(tls)) {
    parts_written = 0;
    handlers_ended = 0;
    bytes_read = 0;
    handlers_called = 0;
  }
};

std::string post_head(std::string_view target, std::uint64_t length, std::string_view more = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{}\r\n", target, length, more);
}

TEST(StreamOut, IsChunkedAndTheConnectionGoesOn) {
  Running server;
  TestClient client(server.port());
  client.send(get("/parts?parts=2") + get("/parts?parts=0") + get("/nothing"));
  const auto head = client.receive();
  EXPECT_EQ(head.status, 200);
  EXPECT_TRUE(has(head, "Transfer-Encoding: chunked"));
  EXPECT_TRUE(has(head, "Content-Type: application/x-ndjson"));
  EXPECT_EQ(head.header.find("Content-Length"), std::string::npos);
  EXPECT_EQ(client.receive_bytes(31), "8\r\nxxxxxxxx\r\n8\r\nxxxxxxxx\r\n0\r\n\r\n");
  client.receive();
  EXPECT_EQ(client.receive_bytes(5), "0\r\n\r\n");
  EXPECT_EQ(client.receive().status, 404);
}

TEST(StreamOut, EndsWithTheConnectionInHttp10) {
  Running server;
  TestClient client(server.port());
  client.send("GET /parts?parts=2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto head = client.receive();
  EXPECT_TRUE(has(head, "Connection: close"));
  EXPECT_EQ(head.header.find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(client.receive_all(), "xxxxxxxxxxxxxxxx");
}

TEST(StreamOut, IsNotWrittenForHead) {
  Running server;
  TestClient client(server.port());
  client.send("HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n" + get("/nothing"));
  EXPECT_TRUE(has(client.receive(false), "Transfer-Encoding: chunked"));
  EXPECT_EQ(client.receive().status, 404);
}

TEST(StreamOut, WaitsForASlowReader) {
  for (const bool encrypted : {false, true}) {
    Running server({}, encrypted ? test_tls() : nullptr);
    TestClient client(server.port(), encrypted ? TestClient::Tls::on : TestClient::Tls::off);
    client.send(get("/parts?parts=1000&bytes=65536") + get("/parts?parts=1"));
    const std::uint64_t written = settled(parts_written);
    EXPECT_LT(written, 500);  // what the kernel holds
    client.receive();
    std::uint64_t bytes = 0;
    for (int i = 0; i < 1000; ++i) bytes += client.receive_bytes(65536 + 9).size();
    EXPECT_EQ(bytes, 1000 * (65536 + 9));
    EXPECT_EQ(client.receive_bytes(5), "0\r\n\r\n");
    EXPECT_EQ(client.receive().status, 200);
    EXPECT_EQ(client.receive_bytes(18), "8\r\nxxxxxxxx\r\n0\r\n\r\n");
  }
}

TEST(StreamOut, EndsForAClientThatTakesNothing) {
  Running server({.write_time = 300ms});
  TestClient client(server.port());
  client.send(get("/parts?parts=100000&bytes=65536"));
  EXPECT_TRUE(within(10s, [] { return handlers_ended == 1; }));
  EXPECT_FALSE(client.receive_all().ends_with("0\r\n\r\n"));
}

TEST(StreamOut, EndsWhenTheClientVanishes) {
  for (const bool encrypted : {false, true}) {
    Running server({}, encrypted ? test_tls() : nullptr);
    {
      TestClient client(server.port(), encrypted ? TestClient::Tls::on : TestClient::Tls::off);
      client.send(get("/parts?parts=100000000&bytes=65536"));
      EXPECT_EQ(client.receive().status, 200);
      EXPECT_FALSE(client.receive_until("\n").empty());
      EXPECT_EQ(handlers_ended, 0);
    }
    EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
  }
}

TEST(StreamOut, GoesOnForAClientThatSendsNothingMore) {
  for (const bool encrypted : {false, true}) {
    Running server({}, encrypted ? test_tls() : nullptr);
    TestClient client(server.port(), encrypted ? TestClient::Tls::on : TestClient::Tls::off);
    client.send(get("/parts?parts=300&bytes=65536") + get("/parts?parts=1"));
    client.finish_sending();
    EXPECT_LT(settled(parts_written), 300) << "so it has heard of that";
    EXPECT_EQ(client.receive().status, 200);
    EXPECT_EQ(client.receive_bytes(300 * (65536 + 9)).size(), 300 * (65536 + 9));
    EXPECT_EQ(client.receive_bytes(5), "0\r\n\r\n");
    EXPECT_EQ(client.receive().status, 200) << "nor is what it had asked for before";
    EXPECT_EQ(client.receive_all(), "8\r\nxxxxxxxx\r\n0\r\n\r\n");
    EXPECT_EQ(handlers_ended, 2);
  }
}

TEST(StreamOut, EndsForAClientThatSendsNothingMoreWhereNothingIsWritten) {
  for (const bool encrypted : {false, true}) {
    Running server({.write_time = 300ms}, encrypted ? test_tls() : nullptr);
    {
      TestClient client(server.port(), encrypted ? TestClient::Tls::on : TestClient::Tls::off);
      client.send(get("/events"));
      EXPECT_EQ(client.receive().status, 200);
      EXPECT_EQ(client.receive_until("\n\n"), "d\r\ndata: first\n\n");
      EXPECT_EQ(handlers_ended, 0);
    }
    EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
  }
}

TEST(StreamOut, HoldsFewOfTheRequestsThatWaitBehindIt) {
  Running server;
  TestClient client(server.port());
  client.send(get("/events"));
  client.receive();
  EXPECT_EQ(client.receive_until("\n\n"), "d\r\ndata: first\n\n");
  for (int i = 0; i < 1000; ++i) client.send(get("/nothing"));
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(handlers_ended, 0);
  // Were they left in the kernel, the client's end would be too.
  for (int i = 0; i < 4000; ++i) client.send(get("/nothing"));
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
}

TEST(StreamOut, LeavesTheOthersTheirTurn) {
  Running server;
  TestClient fast(server.port());
  fast.send(get("/parts?parts=2000000&bytes=1"));  // who takes them is faster than who writes them
  fast.receive();
  std::atomic<bool> ended{false};
  std::thread reader([&] {
    fast.closed_within(0s);
    ended = true;
  });
  // One of these is on the same core.
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) {
    TestClient other(server.port());
    other.send(get("/nothing"));
    EXPECT_EQ(other.receive().status, 404);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 1s);
  server.server().stop();
  EXPECT_TRUE(within(2s, [&] { return ended.load(); }));
  EXPECT_LT(parts_written, 2'000'000U);
  reader.join();
}

TEST(StreamOut, EndsAHandlerThatDoesNotListen) {
  Running server({.write_time = 300ms});
  TestClient idle(server.port());
  idle.send(get("/regardless"));  // and takes nothing
  {
    TestClient gone(server.port());
    gone.send(get("/regardless"));
    EXPECT_EQ(gone.receive().status, 200);
  }
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 2; }));
}

TEST(StreamOut, IsNotWrittenWhereThereIsNoBody) {
  Running server;
  TestClient client(server.port());
  client.send(get("/unchanged") + get("/nothing"));
  EXPECT_EQ(client.receive(false).status, 304);
  EXPECT_EQ(client.receive().status, 404);
  EXPECT_EQ(parts_written, 0);
}

TEST(StreamOut, EndsWhateverIsThrown) {
  Running server;
  TestClient client(server.port());
  client.send(get("/number"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive_all(), "4\r\nhalf\r\n");
}

TEST(StreamOut, CannotReadTheBody) {
  Running server;
  TestClient client(server.port());
  client.send(post_head("/read-late", 3) + "abc" + get("/nothing"));
  client.receive();
  EXPECT_EQ(client.receive_until("0\r\n\r\n"), "31\r\nthe request's body can't be read after the answer\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().status, 404);
}

TEST(StreamOut, LacksItsEndIfItFails) {
  Running server;
  TestClient client(server.port());
  client.send(get("/half"));
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive_all(), "4\r\nhalf\r\n");
}

TEST(StreamOut, IsCutWhenTheServerStops) {
  Running server;
  TestClient client(server.port());
  client.send(get("/events"));
  client.receive();
  client.receive_until("first");
  server.server().stop();
  EXPECT_EQ(client.receive_all(), "\n\n\r\n");
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
}

TEST(StreamIn, ReadsALargeBodyInParts) {
  Running server;
  for (const bool chunked : {false, true}) {
    TestClient client(server.port());
    const std::string mb(1 << 20, '\1');
    client.send(chunked ? "POST /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                        : post_head("/upload", 20 << 20));
    for (int i = 0; i < 20; ++i) client.send(chunked ? "100000\r\n" + mb + "\r\n" : mb);
    client.send((chunked ? "0\r\n\r\n" : "") + get("/nothing"));
    EXPECT_EQ(client.receive().body, R"({"bytes":20971520,"sum":20971520})");
    EXPECT_EQ(client.receive().status, 404);
  }
}

TEST(StreamIn, LeavesInTheKernelWhatTheHandlerDoesNotRead) {
  Running server;
  TestClient client(server.port());
  client.send(post_head("/slow-upload", 8 << 20));
  const auto start = std::chrono::steady_clock::now();
  client.send(std::string(8 << 20, '\1'));
  EXPECT_GT(std::chrono::steady_clock::now() - start, 200ms);
  EXPECT_EQ(client.receive().body, R"({"bytes":8388608,"sum":8388608})");
}

TEST(StreamIn, SaysContinueWhenTheHandlerReads) {
  Running server;
  TestClient client(server.port());
  client.send(post_head("/upload", 3, "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.receive().status, 100);
  client.send("abc" + post_head("/refused", 3, "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.receive().body, R"({"bytes":3,"sum":294})");
  const auto refused = client.receive();
  EXPECT_EQ(refused.status, 409);
  EXPECT_TRUE(has(refused, "Connection: close"));
  EXPECT_TRUE(client.closed_within(5s));
}

TEST(StreamIn, AnswersEarlyThoughTheClientSends) {
  Running server;
  TestClient small(server.port());
  small.send(post_head("/refused", 3));
  std::this_thread::sleep_for(20ms);
  small.send("abc" + get("/nothing"));
  const auto answer = small.receive();
  EXPECT_EQ(answer.status, 409);
  EXPECT_TRUE(has(answer, "Connection: keep-alive"));
  EXPECT_EQ(small.receive().status, 404);

  small.send(post_head("/refused-small", 3) + "ab");
  EXPECT_TRUE(has(small.receive(), "Connection: keep-alive"));
  small.send("c" + get("/nothing"));
  EXPECT_EQ(small.receive().status, 404);

  TestClient large(server.port());
  large.send(post_head("/refused", 3'000'000) + std::string(3'000'000, 'x'));
  const auto last = large.receive();
  EXPECT_EQ(last.status, 409);
  EXPECT_TRUE(has(last, "Connection: close"));
  EXPECT_TRUE(large.closed_within(5s));
}

TEST(StreamIn, KeepsEachOperationsLimit) {
  Running server({.message = {.body_bytes = 100}});
  const auto answer_to = [&](const std::string& bytes) {
    TestClient client(server.port());
    client.send(bytes);
    const auto answer = client.receive();
    EXPECT_TRUE(client.closed_within(5s));
    return answer.status;
  };
  EXPECT_EQ(answer_to(post_head("/small", 101, "Expect: 100-continue\r\n")), 413);
  EXPECT_EQ(answer_to(post_head("/upload", (64 << 20) + 1)), 413);
  EXPECT_EQ(answer_to("POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" +
                      std::string(64, 'x') + "\r\n40\r\n" + std::string(64, 'x') + "\r\n0\r\n\r\n"),
            413);
  EXPECT_EQ(answer_to("POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
  EXPECT_EQ(
      answer_to("POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(100'000, 'x')),
      431);
}

TEST(StreamIn, EndsForASlowClient) {
  Running server({.body_time = 300ms, .body_rate = 1000});
  TestClient slow(server.port());
  slow.send(post_head("/upload", 1000));
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < 5s && handlers_ended == 0) {
    slow.send("x");
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(slow.receive().status, 408);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_GT(bytes_read, 1);
}

TEST(StreamIn, GivesNoTimeForFraming) {
  Running server({.body_time = 300ms, .body_rate = 1000});
  TestClient slow(server.port());
  slow.send("POST /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < 3s && handlers_ended == 0) {
    slow.send("1;" + std::string(200, 'x') + "\r\nx\r\n");
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(handlers_ended, 1);
}

TEST(StreamIn, KeepsNoTimeInReserve) {
  Running server({.body_time = 300ms, .body_rate = 1000});
  TestClient client(server.port());
  client.send(post_head("/upload", 1'000'000) + std::string(500'000, 'x'));
  EXPECT_TRUE(within(3s, [] { return handlers_ended == 1; }));
  EXPECT_EQ(client.receive().status, 408);
}

TEST(StreamIn, LeavesTheOthersTheirTurn) {
  for (const bool encrypted : {false, true}) {
    Running server({}, encrypted ? test_tls() : nullptr);
    const auto tls = encrypted ? TestClient::Tls::on : TestClient::Tls::off;
    TestClient fast(server.port(), tls);
    fast.send(post_head("/upload", 64 << 20));
    std::thread sender([&] {
      const std::string mb(1 << 20, 'x');
      for (int i = 0; i < 64; ++i) fast.send(mb);  // faster than it is read
    });
    EXPECT_TRUE(within(5s, [] { return bytes_read > 0; }));
    // One of these is on the same core.
    for (int i = 0; i < 4; ++i) {
      TestClient other(server.port(), tls);
      other.send(get("/nothing"));
      EXPECT_EQ(other.receive().status, 404);
    }
    EXPECT_LT(bytes_read, 64U << 20);
    sender.join();
    EXPECT_EQ(fast.receive().status, 200);
  }
}

TEST(StreamIn, EndsWhenTheClientVanishes) {
  Running server;
  {
    TestClient client(server.port());
    client.send(post_head("/upload", 1 << 20) + std::string(1 << 19, 'x'));
    EXPECT_TRUE(within(5s, [] { return bytes_read == 1 << 19; }));
    EXPECT_EQ(handlers_ended, 0);
  }
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
}

TEST(Authentication, ComesBeforeTheBody) {
  Running server({}, nullptr, true);
  TestClient client(server.port());
  client.send(post_head("/upload", 50 << 20, "Expect: 100-continue\r\n"));
  const auto refused = client.receive();
  EXPECT_EQ(refused.status, 401);
  EXPECT_TRUE(has(refused, "WWW-Authenticate: Bearer"));
  EXPECT_TRUE(has(refused, "Connection: close"));
  EXPECT_TRUE(client.closed_within(5s));
  EXPECT_EQ(handlers_called, 0);
  TestClient known(server.port());
  known.send(post_head("/upload", 3, "Authorization: Bearer x\r\n") + "abc");
  EXPECT_EQ(known.receive().status, 200);
}

}  // namespace
}  // namespace millrace::http
