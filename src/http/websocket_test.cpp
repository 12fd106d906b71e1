// WebSockets over real sockets, with frames that the tests make themselves.
#include "http/websocket.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <mutex>

#include "http/api_table.hpp"
#include "http/test_client.hpp"
#include "http/test_server.hpp"

namespace millrace::http {
namespace sample {

struct Room {
  std::string room;
};
BOOST_DESCRIBE_STRUCT(Room, (), (room))

}  // namespace sample

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using sample::Room;

std::atomic<int> messages_sent{0};

std::mutex taken_mutex;
std::string taken;

std::string taken_now() {
  const std::scoped_lock lock(taken_mutex);
  return taken;
}

asio::awaitable<void> echo_all(WebSocket& socket) {
  const Ending ending;
  while (const auto message = co_await socket.receive()) {
    if (message->data == "bye") {
      socket.close_with(4000, "as you said");
      co_return;
    }
    if (message->data == "throw") throw std::runtime_error("as you said");
    message->binary ? co_await socket.send_binary(message->data) : co_await socket.send_text(message->data);
  }
}

asio::awaitable<void> send_for_ever(WebSocket& socket) {
  const Ending ending;
  const std::string data(65536, 'x');
  while (co_await socket.send_binary(data)) ++messages_sent;
}

asio::awaitable<void> say_one_thing_and_wait(WebSocket& socket) {
  const Ending ending;
  co_await socket.send_text("one");
  co_await wait(1h);
}

/// Says what it got when there is nothing more; takes its time for each message.
asio::awaitable<void> take_slowly(WebSocket& socket) {
  const Ending ending;
  while (const auto message = co_await socket.receive()) {
    co_await wait(100ms);
    const std::scoped_lock lock(taken_mutex);
    taken += message->data;
  }
  const std::scoped_lock lock(taken_mutex);
  taken += '.';
}

/// Goes on after a send that failed.
asio::awaitable<void> send_and_receive(WebSocket& socket) {
  const Ending ending;
  while (co_await socket.send_binary(std::string(65536, 'x'))) {
  }
  if (const auto message = co_await socket.receive()) {
    const std::scoped_lock lock(taken_mutex);
    taken += message->data;
  }
  const bool more = (co_await socket.receive()).has_value();
  const std::scoped_lock lock(taken_mutex);
  taken += more ? '+' : '.';
}

asio::awaitable<void> tick(WebSocket& socket) {
  const Ending ending;
  while (true) {
    co_await socket.send_text("tick");
    co_await wait(10ms);
  }
}

/// Neither waits for anything else nor asks whether anybody takes it.
asio::awaitable<void> send_regardless(WebSocket& socket) {
  const Ending ending;
  co_await socket.receive();
  while (true) co_await socket.send_text("data");
}

asio::awaitable<void> close_at_length(WebSocket& socket) {
  std::string reason(122, 'x');
  socket.close_with(4001, reason + "ä");
  co_return;
}

asio::awaitable<void> throw_a_number(WebSocket&) {
  throw 1;
  co_return;
}

asio::awaitable<Response> in_room(Path<Room> path) {
  if (path->room == "none") co_return problem(404, "no such room");
  if (path->room == "flood") co_return Response{.status = 101, .websocket = send_for_ever};
  if (path->room == "quiet") co_return Response{.status = 101, .websocket = say_one_thing_and_wait};
  if (path->room == "slow") co_return Response{.status = 101, .websocket = take_slowly};
  if (path->room == "deaf") co_return Response{.status = 101, .websocket = send_and_receive};
  if (path->room == "tick") co_return Response{.status = 101, .websocket = tick};
  if (path->room == "regardless") co_return Response{.status = 101, .websocket = send_regardless};
  if (path->room == "long") co_return Response{.status = 101, .websocket = close_at_length};
  if (path->room == "number") co_return Response{.status = 101, .websocket = throw_a_number};
  co_return Response{.status = 101, .websocket = echo_all};
}

std::shared_ptr<const Router> routes(bool guarded) {
  ApiTable table;
  if (guarded) table.authenticate("bearer", with_password);
  table.add("GET", {.path = "/rooms/{room}", .summary = "", .status = 101, .problems = {{404, "There is none"}}},
            in_room);
  return table.router("Test", "1");
}

class Running : public TestServer {
 public:
  explicit Running(ServerLimits limits = {}, std::shared_ptr<const net::TlsContext> tls = {}, bool guarded = false)
      : TestServer(routes(guarded), limits, std::move(tls)) {
    handlers_ended = 0;
    messages_sent = 0;
    const std::scoped_lock lock(taken_mutex);
    taken.clear();
  }
};

std::string upgrade(std::string_view target, std::string_view more = "") {
  return get(target,
             fmt::format("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}",
                         more));
}

enum Opcode : unsigned { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

std::string length_of(std::size_t size, unsigned mask_bit) {
  std::string bytes;
  if (size < 126) return {static_cast<char>(size | mask_bit)};
  const int count = size <= 0xFFFF ? 2 : 8;
  bytes += static_cast<char>((count == 2 ? 126U : 127U) | mask_bit);
  for (int i = count - 1; i >= 0; --i) bytes += static_cast<char>(size >> (8 * i));
  return bytes;
}

/// A client's frame.
std::string frame(Opcode opcode, std::string_view payload, bool last = true) {
  constexpr std::string_view mask = "\x12\x34\x56\x78";
  std::string bytes = {static_cast<char>(opcode | (last ? 0x80U : 0U))};
  bytes += length_of(payload.size(), 0x80);
  bytes += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) bytes += static_cast<char>(payload[i] ^ mask[i % 4]);
  return bytes;
}

std::string unmasked(Opcode opcode, std::string_view payload) {
  return static_cast<char>(opcode | 0x80U) + length_of(payload.size(), 0) + std::string(payload);
}

std::string close_frame(unsigned code, std::string_view reason = "") {
  return frame(close, std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + std::string(reason));
}

/// A client that has been let in.
class Client : public TestClient {
 public:
  explicit Client(std::uint16_t port, std::string_view room = "echo", Tls tls = Tls::off) : TestClient(port, tls) {
    send(upgrade(fmt::format("/rooms/{}", room)));
    answer_ = receive(false);
  }

  const Answer& answer() const { return answer_; }

  struct Frame {
    unsigned opcode = 16;  ///< 16: the server closed instead
    bool last = false;
    std::string payload;

    unsigned code() const {
      return payload.size() < 2
                 ? 0
                 : static_cast<unsigned char>(payload[0]) * 256U + static_cast<unsigned char>(payload[1]);
    }
  };

  Frame receive_frame() {
    const std::string head = receive_bytes(2);
    if (head.size() < 2) return {};
    Frame frame{.opcode = head[0] & 0xFU, .last = (head[0] & 0x80) != 0, .payload = {}};
    std::size_t size = static_cast<unsigned char>(head[1]);  // unmasked, so the highest bit is none
    if (size >= 126) {
      const std::string length = receive_bytes(size == 126 ? 2 : 8);
      size = 0;
      for (const char c : length) size = size << 8 | static_cast<unsigned char>(c);
    }
    frame.payload = receive_bytes(size);
    return frame;
  }

  /// The code with which the server closes, past the messages before; 0 if it closes without one.
  unsigned close_code() {
    while (true) {
      const Frame frame = receive_frame();
      if (frame.opcode == 16) return 0;
      if (frame.opcode == close) return frame.code();
    }
  }

 private:
  Answer answer_;
};

TEST(WebSocket, LetsInByTheRules) {
  Running server;
  Client client(server.port());
  EXPECT_EQ(client.answer().status, 101);
  EXPECT_TRUE(has(client.answer(), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));  // RFC 6455, 1.3
  const auto refused = [&](const std::string& request) {
    TestClient other(server.port());
    other.send(request);
    return other.receive(false).status;
  };
  EXPECT_EQ(refused(get("/rooms/echo")), 426);
  EXPECT_EQ(refused(upgrade("/rooms/none")), 404);
  EXPECT_EQ(refused("HEAD" + upgrade("/rooms/echo").substr(3)), 426);
  EXPECT_EQ(refused("POST" + upgrade("/rooms/echo").substr(3)), 405);
  EXPECT_EQ(refused(get("/rooms/echo", "Connection: Upgrade\r\nUpgrade: h2c\r\n")), 426);
  EXPECT_EQ(refused(get("/rooms/echo",
                        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
            426);
  EXPECT_EQ(refused(get("/rooms/echo",
                        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: short\r\n")),
            400);
  EXPECT_EQ(refused(upgrade("/rooms/echo", "Content-Length: 3\r\n") + "abc"), 400);
}

TEST(WebSocket, AsksWhoItIsFirst) {
  Running server({}, nullptr, true);
  TestClient unknown(server.port());
  unknown.send(upgrade("/rooms/echo"));
  EXPECT_EQ(unknown.receive().status, 401);
  TestClient known(server.port());
  known.send(upgrade("/rooms/echo", "Authorization: Bearer x\r\n"));
  EXPECT_EQ(known.receive(false).status, 101);
}

TEST(WebSocket, CarriesMessagesOfAnySizeAndKind) {
  for (const bool encrypted : {false, true}) {
    Running server({}, encrypted ? test_tls() : nullptr);
    Client client(server.port(), "echo", encrypted ? TestClient::Tls::on : TestClient::Tls::off);
    for (const std::size_t size : {0, 1, 125, 126, 65535, 65536, 1 << 20}) {
      client.send(frame(binary, std::string(size, '\xff')));
      const auto answer = client.receive_frame();
      EXPECT_EQ(answer.opcode, binary);
      EXPECT_TRUE(answer.last);
      EXPECT_EQ(answer.payload, std::string(size, '\xff'));
    }
    client.send(frame(text, "grüß dich"));
    EXPECT_EQ(client.receive_frame().opcode, text);
  }
}

TEST(WebSocket, TakesFramesThatCameWithTheRequest) {
  Running server;
  TestClient client(server.port());
  client.send(upgrade("/rooms/echo") + frame(text, "early"));
  EXPECT_EQ(client.receive(false).status, 101);
  EXPECT_EQ(client.receive_bytes(7), "\x81\x05"s + "early");
}

TEST(WebSocket, PutsFragmentsTogetherAndAnswersPings) {
  Running server;
  Client client(server.port());
  client.send(frame(text, "a\xc3", false) + frame(ping, "are you there") + frame(continuation, "\xa4", false) +
              frame(continuation, "b"));
  const auto first = client.receive_frame();
  EXPECT_EQ(first.opcode, pong);
  EXPECT_EQ(first.payload, "are you there");
  EXPECT_EQ(client.receive_frame().payload, "aäb");
}

TEST(WebSocket, ClosesOnWhatBreaksTheRules) {
  Running server({.message = {.body_bytes = 1000}});
  const auto closed_with = [&](const std::string& bytes) {
    Client client(server.port());
    client.send(bytes);
    return client.close_code();
  };
  EXPECT_EQ(closed_with(unmasked(text, "a")), 1002);
  EXPECT_EQ(closed_with(frame(continuation, "a")), 1002);
  EXPECT_EQ(closed_with(frame(text, "a", false) + frame(text, "b")), 1002);
  EXPECT_EQ(closed_with(frame(static_cast<Opcode>(3), "a")), 1002);
  EXPECT_EQ(closed_with(frame(static_cast<Opcode>(0x41), "a")), 1002);  // a reserved bit
  EXPECT_EQ(closed_with(frame(ping, std::string(126, 'x'))), 1002);
  EXPECT_EQ(closed_with(frame(ping, "x", false)), 1002);
  EXPECT_EQ(closed_with(close_frame(999)), 1002);
  EXPECT_EQ(closed_with(frame(text, "\xc3\x28")), 1007);
  EXPECT_EQ(closed_with(frame(text, "\xed\xa0\x80")), 1007);
  EXPECT_EQ(closed_with(frame(text, "a\xc3")), 1007);
  EXPECT_EQ(closed_with(frame(text, std::string(1001, 'x'))), 1009);
  EXPECT_EQ(closed_with(frame(binary, std::string(600, 'x'), false) + frame(continuation, std::string(600, 'x'))),
            1009);
  EXPECT_EQ(closed_with("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04"s), 1009);
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 14; }));
}

TEST(WebSocket, ShakesHandsToClose) {
  Running server;
  Client client(server.port());
  client.send(close_frame(1000, "done"));
  const auto answer = client.receive_frame();
  EXPECT_EQ(answer.opcode, close);
  EXPECT_EQ(answer.code(), 1000);
  EXPECT_TRUE(client.closed_within(5s));
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));

  Client other(server.port());
  other.send(frame(text, "bye"));
  const auto last = other.receive_frame();
  EXPECT_EQ(last.code(), 4000);
  EXPECT_EQ(last.payload.substr(2), "as you said");
  other.send(close_frame(4000));
  EXPECT_TRUE(other.closed_within(2s));

  Client failing(server.port());
  failing.send(frame(text, "throw"));
  EXPECT_EQ(failing.close_code(), 1011);
}

TEST(WebSocket, EndsTheHandlerWhenTheClientVanishes) {
  for (const bool encrypted : {false, true}) {
    Running server({}, encrypted ? test_tls() : nullptr);
    for (const char* room : {"echo", "quiet", "flood"}) {
      handlers_ended = 0;
      {
        Client client(server.port(), room, encrypted ? TestClient::Tls::on : TestClient::Tls::off);
        EXPECT_EQ(client.answer().status, 101);
        client.send(frame(text, "half").substr(0, 5));
        if (room != "echo"s) EXPECT_NE(client.receive_frame().opcode, 16U);
        EXPECT_EQ(handlers_ended, 0);
      }
      EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; })) << room;
    }
  }
}

TEST(WebSocket, WaitsForASlowReader) {
  Running server({.write_time = 1s});
  Client client(server.port(), "flood");
  const int before = settled(messages_sent);
  EXPECT_LT(before, 1000);
  for (int i = 0; i < before + 10; ++i) ASSERT_EQ(client.receive_frame().payload.size(), 65536U);
  EXPECT_TRUE(within(10s, [] { return handlers_ended == 1; }));  // it was too slow in the end
}

TEST(WebSocket, PingsAndEndsIdleClients) {
  Running server({.idle_time = 600ms});
  Client client(server.port());
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) {
    const auto asked = client.receive_frame();
    ASSERT_EQ(asked.opcode, ping);
    client.send(frame(pong, asked.payload));
  }
  EXPECT_GT(std::chrono::steady_clock::now() - start, 700ms);
  EXPECT_EQ(client.close_code(), 0U);  // a ping that nobody answers
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
}

TEST(WebSocket, EndsAClientWhoseMessagesNobodyTakes) {
  Running server({.idle_time = 600ms});
  Client client(server.port(), "quiet");
  client.receive_frame();
  for (int i = 0; i < 10; ++i) client.send(frame(text, std::string(100'000, 'x')));
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
}

TEST(WebSocket, SaysGoodbyeWhenTheServerStops) {
  for (const char* room : {"echo", "quiet", "flood"}) {
    Running server;
    Client client(server.port(), room);
    EXPECT_EQ(client.answer().status, 101);
    if (room != "echo"s) client.receive_frame();
    server.server().stop();
    EXPECT_EQ(client.close_code(), 1001U) << room;
    client.send(close_frame(1001));
    EXPECT_TRUE(client.closed_within(5s));
    EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
  }
}

/// Of the process, in bytes.
std::size_t resident_memory() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * 4096;
}

TEST(WebSocket, TakesMemoryForWhatHasCome) {
  Running server({.message = {.body_bytes = 1ULL << 31}});
  Client client(server.port());
  const std::size_t before = resident_memory();
  const std::string announced = {'\x82', '\xff', 0, 0, 0, 0, '\x40', 0, 0, 0};  // 1 GiB
  client.send(announced + "mask" + std::string(5000, 'x'));
  std::this_thread::sleep_for(500ms);
  EXPECT_LT(resident_memory(), before + (std::size_t{64} << 20));
}

TEST(WebSocket, HasALimitThoughItIsNone) {
  Running server({.message = {.body_bytes = 0}});
  Client client(server.port());
  client.send(frame(text, "ab"));
  EXPECT_EQ(client.close_code(), 1009U);
}

TEST(WebSocket, IsLetInWithAnExpectation) {
  Running server;
  TestClient client(server.port());
  client.send(upgrade("/rooms/echo", "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.receive(false).status, 101);
}

TEST(WebSocket, CutsNoCharacterOfAReason) {
  Running server;
  Client client(server.port(), "long");
  const auto last = client.receive_frame();
  EXPECT_EQ(last.code(), 4001);
  EXPECT_EQ(last.payload.substr(2), std::string(122, 'x'));
}

TEST(WebSocket, ClosesWhateverIsThrown) {
  Running server;
  Client client(server.port(), "number");
  EXPECT_EQ(client.close_code(), 1011U);
}

TEST(WebSocket, DeliversWhatCameBeforeTheClose) {
  Running server;
  Client client(server.port(), "slow");
  client.send(frame(text, "a") + frame(text, "b") + frame(text, "c") + close_frame(1000));
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
  EXPECT_EQ(taken_now(), "abc.");
}

TEST(WebSocket, KeepsTheOrderWhenTimeIsUp) {
  Running server({.idle_time = 200ms});
  Client client(server.port(), "deaf");
  client.send(frame(text, "a") + frame(text, "b"));  // and takes nothing
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
  EXPECT_EQ(taken_now(), "a+");
}

TEST(WebSocket, SaysTheEndAfterASend) {
  Running server;
  {
    const Client client(server.port(), "deaf");
  }
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
  EXPECT_EQ(taken_now(), ".");
}

TEST(WebSocket, EndsAHandlerThatDoesNotListen) {
  Running server;
  {
    const Client client(server.port(), "tick");
  }
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 1; }));
}

TEST(WebSocket, EndsAHandlerThatOnlySends) {
  Running server;
  {
    Client vanishing(server.port(), "regardless");
    vanishing.send(frame(text, "a"));
    EXPECT_EQ(vanishing.receive_frame().payload, "data");
    Client closing(server.port(), "regardless");
    closing.send(frame(text, "a") + close_frame(1000));
    EXPECT_TRUE(closing.closed_within(10s));
  }
  EXPECT_TRUE(within(5s, [] { return handlers_ended == 2; }));
}

TEST(WebSocket, StopsThoughTheClientReadsNothing) {
  Running server;
  Client client(server.port(), "flood");
  settled(messages_sent);
  server.server().stop();
  EXPECT_TRUE(within(8s, [] { return handlers_ended == 1; }));
}

}  // namespace
}  // namespace millrace::http
