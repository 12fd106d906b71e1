// Both machines against each other: Millrace as the server's side and as the client's.
#include <gtest/gtest.h>

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/sansio/client_authentication.hpp"
#include "pgwire/sansio/crypto.hpp"
#include "pgwire/sansio/md5_answer.hpp"
#include "pgwire/sansio/server_login.hpp"

namespace millrace::pgwire {
namespace {

using Client = ClientAuthentication;

const std::vector<std::byte> end_point(32, std::byte{7});

struct Outcome {
  bool accepted = false;  ///< by ClientAuthentication
  bool ready = false;     ///< for ServerLogin
  Error rejection;        ///< ClientAuthentication's
  Error failure;          ///< ServerLogin's
  ServerCredential learnt;
  ServerLogin::Session session;
};

// Hands each side's messages to the other until both have ended.
Outcome log_in(Client::Options server_side, ServerLogin::Options client_side) {
  Client authentication(std::move(server_side));
  ServerLogin login(std::move(client_side));
  Outcome outcome;
  std::string to_login;
  const auto take = [&](Client::Step step) {
    to_login += step.send;
    if (step.state == Client::State::accepted) {
      outcome.accepted = true;
      outcome.learnt = std::move(step.credential);
      append_authentication_ok(to_login);
      append_parameter_status(to_login, "server_version", "15.0");
      append_parameter_status(to_login, "TimeZone", "UTC");
      append_backend_key_data(to_login, 42, 4711);
      append_ready_for_query(to_login, 'I');
    }
    if (step.state == Client::State::rejected) {
      outcome.rejection = step.error;
      append_error_response(to_login, "FATAL", step.error);
    }
  };
  take(authentication.start());
  while (!to_login.empty()) {
    const Header header = load_header(as_bytes(to_login));
    const std::string message = to_login.substr(0, header.total());
    to_login.erase(0, header.total());
    auto step = login.on_message(header.type, as_bytes(message).subspan(header_size));
    if (step.state == ServerLogin::State::ready) outcome.ready = true;
    if (step.state == ServerLogin::State::failed) {
      outcome.failure = step.error;
      break;
    }
    if (!step.send.empty()) {
      EXPECT_EQ(load_header(as_bytes(step.send)).type, frontend::password);
      EXPECT_EQ(load_header(as_bytes(step.send)).total(), step.send.size());
      take(authentication.on_password_message(as_bytes(step.send).subspan(header_size)));
    }
  }
  outcome.session = login.session();
  return outcome;
}

Client::Options server(AuthMethod method, StoredSecret secret) {
  return {.method = method, .user = "alice", .secret = std::move(secret), .mock_seed = "seed"};
}
ServerLogin::Options client(ServerCredential credential) {
  return {.user = "alice", .credential = std::move(credential), .parameters = {{"user", "alice"}}};
}
StoredSecret verifier(std::string_view password) {
  return ScramVerifier::from_password(password, "sixteen bytes of", 64);
}
StoredSecret md5_secret(std::string_view password) {
  return parse_secret("md5" + md5_hex(std::string(password) + "alice").value());
}

TEST(Login, TrustAsksForNothing) {
  const auto outcome = log_in(server(AuthMethod::trust, {}), client({}));
  EXPECT_TRUE(outcome.accepted && outcome.ready);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(outcome.learnt));
  EXPECT_EQ(outcome.session.process_id, 42U);
  EXPECT_EQ(outcome.session.secret_key, 4711U);
  ASSERT_EQ(outcome.session.parameter_statuses.size(), 2U);
  EXPECT_EQ(outcome.session.parameter_statuses[1], (std::pair<std::string, std::string>("TimeZone", "UTC")));
}

TEST(Login, EveryMethodTakesTheRightPasswordAndNoOther) {
  for (const AuthMethod method : {AuthMethod::md5, AuthMethod::scram_sha_256}) {
    for (const StoredSecret& secret :
         {StoredSecret(PlainPassword{"secret"}), md5_secret("secret"), verifier("secret")}) {
      const bool possible = method == AuthMethod::md5 || !std::holds_alternative<Md5Password>(secret);
      const auto right = log_in(server(method, secret), client(PlainPassword{"secret"}));
      EXPECT_EQ(right.accepted, possible);
      EXPECT_EQ(right.ready, possible) << right.failure.message;
      const auto wrong = log_in(server(method, secret), client(PlainPassword{"Secret"}));
      EXPECT_FALSE(wrong.accepted || wrong.ready);
      EXPECT_EQ(wrong.rejection.sqlstate, "28P01");
      EXPECT_EQ(wrong.rejection.message, "password authentication failed for user \"alice\"");
      EXPECT_EQ(wrong.failure.message, wrong.rejection.message);
    }
  }
}

TEST(Login, LearntScramKeysOpenTheServerWithTheSameVerifier) {
  const auto first = log_in(server(AuthMethod::scram_sha_256, verifier("secret")), client(PlainPassword{"secret"}));
  ASSERT_TRUE(std::holds_alternative<ScramKeys>(first.learnt));
  const auto second = log_in(server(AuthMethod::scram_sha_256, verifier("secret")), client(first.learnt));
  EXPECT_TRUE(second.ready) << second.failure.message;
  const auto other = log_in(server(AuthMethod::scram_sha_256, verifier("another")), client(first.learnt));
  EXPECT_FALSE(other.accepted);
}

TEST(Login, UnknownUsersFailAtTheEndOfTheSameExchange) {
  for (const AuthMethod method : {AuthMethod::md5, AuthMethod::scram_sha_256}) {
    const auto outcome = log_in(server(method, std::monostate{}), client(PlainPassword{""}));
    EXPECT_FALSE(outcome.accepted);
    EXPECT_EQ(outcome.rejection.sqlstate, "28P01");
  }
}

TEST(Login, BindsTheChannelWhereBothCan) {
  for (const bool server_binds : {false, true}) {
    for (const bool client_binds : {false, true}) {
      auto server_side = server(AuthMethod::scram_sha_256, verifier("secret"));
      auto client_side = client(PlainPassword{"secret"});
      server_side.tls = client_side.secure_transport = true;
      if (server_binds) server_side.tls_server_end_point = end_point;
      if (client_binds) client_side.tls_server_end_point = end_point;
      EXPECT_TRUE(log_in(server_side, client_side).ready);
    }
  }
}

TEST(Login, ATappedChannelIsRefused) {
  auto server_side = server(AuthMethod::scram_sha_256, verifier("secret"));
  auto client_side = client(PlainPassword{"secret"});
  server_side.tls = client_side.secure_transport = true;
  server_side.tls_server_end_point = end_point;
  client_side.tls_server_end_point.assign(32, std::byte{8});
  const auto outcome = log_in(server_side, client_side);
  EXPECT_FALSE(outcome.accepted);
  EXPECT_EQ(outcome.rejection.message, "SCRAM channel binding check failed");
  EXPECT_EQ(outcome.rejection.sqlstate, "28000");
}

}  // namespace
}  // namespace millrace::pgwire
