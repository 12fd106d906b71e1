// Live updates over real sockets, with frames that the tests make themselves.
#include "http/live_updates.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "base/clock.hpp"
#include "http/api_keys.hpp"
#include "http/live_api.hpp"
#include "http/live_feed.hpp"
#include "http/test_client.hpp"
#include "http/test_server.hpp"

namespace millrace::http {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

std::string upgrade(std::string_view more = "") {
  return fmt::format(
      "GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
      more);
}

/// One that speaks WebSocket: short frames, masked by nothing.
class Listener {
 public:
  explicit Listener(std::uint16_t port, std::string_view more = "") : client_(port) {
    client_.send(upgrade(more));
    opened = client_.receive(false);
  }

  void say(std::string_view text) {
    std::string frame = {'\x81', static_cast<char>(0x80 | text.size()), '\0', '\0', '\0', '\0'};
    client_.send(frame.append(text));
  }

  /// The next message; null: the server closed.
  json::value hear() {
    const std::string head = client_.receive_bytes(2);
    if (head.size() < 2 || static_cast<unsigned char>(head[0]) != 0x81) return nullptr;
    std::size_t size = static_cast<unsigned char>(head[1]);
    if (size >= 126) {
      const std::string more = client_.receive_bytes(size == 126 ? 2 : 8);
      size = 0;
      for (const char byte : more) size = (size << 8) | static_cast<unsigned char>(byte);
    }
    return json::parse(client_.receive_bytes(size));
  }

  TestClient::Answer opened;

 private:
  TestClient client_;
};

class Live : public testing::Test {
 protected:
  explicit Live(ApiKeys keys = {}) {
    ApiTable table;
    table.authenticate("bearer", by_api_key(std::move(keys)), "X-API-Key");
    add_live(table, updates_);
    server_.emplace(table.router("test", "1"));
  }
  void wait_for_client() {
    ASSERT_TRUE(within(10s, [this] { return updates_->clients() > 0; }));
  }

  std::shared_ptr<LiveUpdates> updates_ = std::make_shared<LiveUpdates>();
  std::optional<TestServer> server_;
};

TEST_F(Live, TellsAllUntilItIsToldWhich) {
  Listener listener(server_->port());
  ASSERT_EQ(listener.opened.status, 101);
  wait_for_client();
  updates_->publish(LiveTopic::metrics, R"({"a":1})");
  EXPECT_EQ(listener.hear(), json::parse(R"({"type":"metrics","dropped":0,"data":{"a":1}})"));
  listener.say(R"({"subscribe":["alert"]})");
  EXPECT_EQ(listener.hear(), json::parse(R"({"type":"subscribed","dropped":0,"data":{"subscribe":["alert"]}})"));
  updates_->publish(LiveTopic::metrics, "2");
  updates_->publish(LiveTopic::alert, "3");
  EXPECT_EQ(listener.hear().at("data"), 3);
}

TEST_F(Live, SaysWhatIsWrongAndGoesOn) {
  Listener listener(server_->port());
  for (const char* wrong : {"x", R"({"subscribe":["nosuch"]})", R"({"subscribe":1})", "{}", "[]"}) {
    listener.say(wrong);
    const json::value answer = listener.hear();
    EXPECT_EQ(answer.at("type"), "error") << wrong;
    EXPECT_FALSE(answer.at("data").at("detail").as_array().empty()) << wrong;
  }
  updates_->publish(LiveTopic::anomaly, "1");
  EXPECT_EQ(listener.hear().at("type"), "anomaly");
}

TEST_F(Live, DropsWhatIsNotReadAndSaysSo) {
  Listener listener(server_->port());
  wait_for_client();
  // More than sockets and the queue hold together. That this ends is the point: nobody reads.
  constexpr int published = 400;
  for (int i = 0; i < published; ++i) {
    updates_->publish(LiveTopic::slow_query, fmt::format("[{},\"{}\"]", i, std::string(100'000, 'x')));
  }
  EXPECT_GT(updates_->dropped(), 0U);
  std::int64_t got = 0;
  std::int64_t dropped = 0;
  for (std::int64_t last = -1; last != published - 1;) {
    const json::value heard = listener.hear();
    ASSERT_TRUE(heard.is_object());
    const std::int64_t number = heard.at("data").at(0).as_int64();
    EXPECT_EQ(number, last + 1 + heard.at("dropped").as_int64());
    last = number;
    dropped += heard.at("dropped").as_int64();
    ++got;
  }
  EXPECT_EQ(got + dropped, published);
  EXPECT_EQ(static_cast<std::uint64_t>(dropped), updates_->dropped());
}

TEST_F(Live, HasAsManyClientsAsItMay) {
  std::vector<std::unique_ptr<Listener>> listeners;
  for (std::size_t i = 0; i < LiveUpdates::most_clients; ++i) {
    listeners.push_back(std::make_unique<Listener>(server_->port()));
    ASSERT_EQ(listeners.back()->opened.status, 101);
  }
  EXPECT_EQ(Listener(server_->port()).opened.status, 503);
  listeners.clear();
  EXPECT_TRUE(within(10s, [this] { return updates_->clients() == 0; }));
  EXPECT_EQ(Listener(server_->port()).opened.status, 101);
}

TEST_F(Live, AreForWebSocketsOnly) {
  TestClient client(server_->port());
  client.send("GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.receive().status, 426);
  EXPECT_TRUE(within(10s, [this] { return updates_->clients() == 0; }));
}

class LiveWithKey : public Live {
 protected:
  LiveWithKey() : Live({.hashes = {hash_of_api_key("secret")}}) {}
};

TEST_F(LiveWithKey, AreForWhoHasOne) {
  EXPECT_EQ(Listener(server_->port()).opened.status, 401);
  EXPECT_EQ(Listener(server_->port(), "X-API-Key: secret\r\n").opened.status, 101);
  const Listener page(server_->port(), "Sec-WebSocket-Protocol: millrace, millrace.key.secret\r\n");
  EXPECT_EQ(page.opened.status, 101);
  EXPECT_TRUE(has(page.opened, "Sec-WebSocket-Protocol: millrace")) << page.opened.header;
  EXPECT_EQ(Listener(server_->port(), "Sec-WebSocket-Protocol: millrace, millrace.key.other\r\n").opened.status, 401);
}

TEST(LiveFeed, TellsSlowQueriesOnce) {
  const auto monitor = std::make_shared<QueryPerformanceMonitor>(
      1, std::vector<StatementKindLabel>{{"select", StatementGroup::read}},
      RecordingOptions{.normalized = [](std::string_view text) { return std::string(text); }});
  std::int64_t now = now_ns();
  const auto be_slow = [&](const char* text) {
    monitor->add_slow(0, {.text = text, .duration_ns = 2'000'000'000});
    now += 10'000'000'000;
    monitor->tick(0, now);
    monitor->make_history(now);
  };
  const auto updates = std::make_shared<LiveUpdates>();
  LiveFeed feed(updates, monitor, nullptr);
  const auto figures = figures_between(monitor->snapshot(), monitor->snapshot(), 1s, {}, {});
  be_slow("before");
  feed.looked(figures);
  const auto client = LiveClient::join(updates);
  ASSERT_NE(client, nullptr);
  be_slow("<script>");
  feed.looked(figures);
  feed.looked(figures);
  std::vector<std::string> types;
  while (const auto text = client->next()) {
    const json::value heard = json::parse(*text);
    types.emplace_back(heard.at("type").as_string());
    if (types.back() == "slow_query") {
      EXPECT_EQ(heard.at("data").at("query"), "<script>");
    } else {
      EXPECT_TRUE(heard.at("data").at("p99_ms").is_null());
    }
  }
  EXPECT_EQ(types, (std::vector<std::string>{"metrics", "slow_query", "metrics"}));
}

}  // namespace
}  // namespace millrace::http
