#include "pgwire/sansio/client_authentication.hpp"

#include <gtest/gtest.h>

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::pgwire {
namespace {

using State = ClientAuthentication::State;

ClientAuthentication::Options options(AuthMethod method, StoredSecret secret = {}) {
  return {.method = method, .user = "alice", .secret = std::move(secret), .mock_seed = "seed"};
}

// What the client is asked for, and the bytes that come with it.
std::string request(const ClientAuthentication::Step& step, AuthenticationKind kind) {
  EXPECT_EQ(step.state, State::more);
  const auto view = decode_authentication(as_bytes(step.send).subspan(header_size)).value();
  EXPECT_EQ(view.kind, kind);
  return kind == AuthenticationKind::sasl ? std::string(*view.mechanisms.begin()) : std::string(as_text(view.data));
}

std::string initial(std::string_view mechanism, std::string_view data) {
  std::string message;
  append_sasl_initial_response(message, mechanism, data);
  return message.substr(header_size);
}

void expect_rejected(const ClientAuthentication::Step& step, std::string_view sqlstate, std::string_view message) {
  EXPECT_EQ(step.state, State::rejected);
  EXPECT_EQ(step.error.sqlstate, sqlstate);
  EXPECT_EQ(step.error.message, message);
  EXPECT_EQ(step.send, "");
}

TEST(ClientAuthentication, OffersChannelBindingOnlyOverTls) {
  auto bound = options(AuthMethod::scram_sha_256);
  bound.tls_server_end_point.resize(32);
  EXPECT_EQ(request(ClientAuthentication(bound).start(), AuthenticationKind::sasl), "SCRAM-SHA-256");
  bound.tls = true;
  EXPECT_EQ(request(ClientAuthentication(bound).start(), AuthenticationKind::sasl), "SCRAM-SHA-256-PLUS");
}

TEST(ClientAuthentication, AnUnknownUsersSaltStaysTheSame) {
  const auto salt = [](const std::string& user, const std::string& seed) {
    auto given = options(AuthMethod::scram_sha_256);
    given.user = user;
    given.mock_seed = seed;
    ClientAuthentication authentication(given);
    authentication.start();
    const std::string body = initial("SCRAM-SHA-256", "n,,n=,r=a");
    const std::string first =
        request(authentication.on_password_message(as_bytes(body)), AuthenticationKind::sasl_continue);
    EXPECT_TRUE(first.ends_with(",i=4096"));
    return first.substr(first.find(",s="));
  };
  EXPECT_EQ(salt("alice", "seed"), salt("alice", "seed"));
  EXPECT_NE(salt("alice", "seed"), salt("bob", "seed"));
  EXPECT_NE(salt("alice", "seed"), salt("alice", "other"));
  EXPECT_EQ(salt("alice", "seed").size(), 3U + 24U + 7U);
}

TEST(ClientAuthentication, PreparationIsOnlyForPlainSecretsUnderScram) {
  auto plain = options(AuthMethod::scram_sha_256, PlainPassword{"secret"});
  EXPECT_TRUE(ClientAuthentication::needs_preparation(plain));
  ClientAuthentication::prepare(plain);
  EXPECT_FALSE(ClientAuthentication::needs_preparation(plain));
  auto again = options(AuthMethod::scram_sha_256, PlainPassword{"secret"});
  ClientAuthentication::prepare(again);
  EXPECT_EQ(plain.derived->text(), again.derived->text());
  EXPECT_FALSE(ClientAuthentication::needs_preparation(options(AuthMethod::md5, PlainPassword{"secret"})));
  EXPECT_FALSE(ClientAuthentication::needs_preparation(options(AuthMethod::scram_sha_256, Md5Password{})));
  EXPECT_FALSE(ClientAuthentication::needs_preparation(options(AuthMethod::scram_sha_256)));
}

TEST(ClientAuthentication, TakesTheFirstMessageLate) {
  ClientAuthentication authentication(options(AuthMethod::scram_sha_256));
  authentication.start();
  const std::string without_data("SCRAM-SHA-256\0\xff\xff\xff\xff", 18);
  EXPECT_EQ(request(authentication.on_password_message(as_bytes(without_data)), AuthenticationKind::sasl_continue), "");
  const auto first = authentication.on_password_message(as_bytes("n,,n=,r=a"));
  EXPECT_TRUE(request(first, AuthenticationKind::sasl_continue).starts_with("r=a"));
}

TEST(ClientAuthentication, RefusesWhatIsOutOfOrderOrShape) {
  const auto after_start = [](AuthMethod method, std::string_view body) {
    ClientAuthentication authentication(options(method, PlainPassword{"secret"}));
    authentication.start();
    return authentication.on_password_message(as_bytes(body));
  };
  using namespace std::string_view_literals;
  expect_rejected(after_start(AuthMethod::md5, "\0"sv), "28P01", "empty password returned by client");
  expect_rejected(after_start(AuthMethod::md5, "no end"), "08P01", "invalid password packet size");
  expect_rejected(after_start(AuthMethod::md5, std::string(70'000, 'x')), "08P01", "invalid message length");
  expect_rejected(after_start(AuthMethod::scram_sha_256, std::string(1'021, 'x')), "28P01",
                  "password authentication failed for user \"alice\"");
  expect_rejected(after_start(AuthMethod::scram_sha_256, ""), "08P01", "invalid string in message");
  expect_rejected(after_start(AuthMethod::scram_sha_256, initial("SCRAM-SHA-256-PLUS", "x")), "08P01",
                  "client selected an invalid SASL authentication mechanism");
  expect_rejected(after_start(AuthMethod::scram_sha_256, initial("PLAIN", "x")), "08P01",
                  "client selected an invalid SASL authentication mechanism");
  ClientAuthentication trusted(options(AuthMethod::trust));
  EXPECT_EQ(trusted.start().state, State::accepted);
  expect_rejected(trusted.on_password_message(as_bytes("x\0"sv)), "08P01", "invalid frontend message type 112");
}

TEST(ClientAuthentication, SaysWhatItExpected) {
  ClientAuthentication md5(options(AuthMethod::md5));
  md5.start();
  EXPECT_EQ(md5.unexpected_message('Q').message, "expected password response, got message type 81");
  ClientAuthentication scram(options(AuthMethod::scram_sha_256));
  scram.start();
  EXPECT_EQ(scram.unexpected_message('\xff').message, "expected SASL response, got message type 255");
  EXPECT_EQ(scram.unexpected_message('Q').sqlstate, "08P01");
}

TEST(ClientAuthentication, TrustHandsOnWhatTheFileHolds) {
  const auto credential = [](StoredSecret secret) {
    return ClientAuthentication(options(AuthMethod::trust, std::move(secret))).start().credential;
  };
  EXPECT_TRUE(std::holds_alternative<PlainPassword>(credential(PlainPassword{"secret"})));
  EXPECT_TRUE(std::holds_alternative<Md5Password>(credential(Md5Password{"md5"})));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(credential(ScramVerifier{})));
}

}  // namespace
}  // namespace millrace::pgwire
