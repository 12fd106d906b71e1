#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "gateway/fuzz/messages.hpp"
#include "gateway/relay.hpp"

/// What the tests of the relay share: clients and server connections without sockets.
namespace millrace::gateway {

using Mode = Relay::Mode;

inline pgwire::Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string string_of(pgwire::Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Server : backend::ServerState {
  Server() {
    parameters = std::make_shared<backend::ParameterList>(
        backend::ParameterList{{"standard_conforming_strings", "on"}, {"client_encoding", "UTF8"}});
  }
};

/// What the clients of a process share.
struct World {
  sql::ParseLimits limits;
  QueryPerformanceMonitor monitor{1, pipeline::statement_kind_labels()};
  pipeline::Pipeline pipeline{0, monitor, limits};
  PreparedTexts texts{"mr_"};
};

class Client {
 public:
  Client(World& world, Mode mode, std::uint32_t max_message = 1u << 30)
      : relay(world.pipeline, world.texts,
              {.mode = mode, .max_message = max_message, .user = "ada", .database = "crawl"}) {
    relay.settings().parameters = Server().parameters;
  }

  Client& on(Server& server) {
    relay.detach();
    relay.attach(server);
    return *this;
  }

  /// What the server gets. All is taken, and nothing is in the way.
  std::string sends(std::string_view bytes) {
    const auto step = relay.from_client(bytes_of(bytes), ++now);
    EXPECT_EQ(step.used, bytes.size());
    EXPECT_EQ(step.next, Relay::Next::more) << relay.error().message;
    return string_of(step.forward);
  }

  /// What the client gets.
  std::string hears(std::string_view bytes) {
    const auto step = relay.from_server(bytes_of(bytes), ++now);
    EXPECT_EQ(step.used, bytes.size());
    EXPECT_FALSE(step.broken);
    return string_of(step.forward);
  }

  void prepares(std::string_view name, std::string_view sql) {
    sends(wire::parse(name, sql) + wire::sync());
    hears(wire::parsed() + wire::ready());
  }
  void asks(std::string_view sql, std::string_view tag, char status = 'I') {
    sends(wire::query(sql));
    hears(wire::complete(tag) + wire::ready(status));
  }

  Relay relay;
  std::int64_t now = 0;
};

}  // namespace millrace::gateway
