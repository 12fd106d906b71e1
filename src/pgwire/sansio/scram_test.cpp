#include <gtest/gtest.h>

#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/crypto.hpp"
#include "pgwire/sansio/scram_client.hpp"
#include "pgwire/sansio/scram_server.hpp"

namespace millrace::pgwire {
namespace {

const std::vector<std::byte> end_point(32, std::byte{7});

ScramVerifier verifier() { return ScramVerifier::from_password("secret", "salt of the test", 1); }
ScramServer server() { return ScramServer({.mechanism = std::string(scram_sha_256), .verifier = verifier()}); }
ScramServer server_plus() {
  return ScramServer(
      {.mechanism = std::string(scram_sha_256_plus), .verifier = verifier(), .tls_server_end_point = end_point});
}

std::string value_of(std::string_view message, std::string_view name) {
  const std::string_view rest = message.substr(message.find(name) + name.size());
  return std::string(rest.substr(0, rest.find(',')));
}

// The keys of RFC 7677's example: its proof and its server signature come from them.
TEST(Scram, HasTheKeysOfRfc7677) {
  const std::string salt = base64_decoded("W22ZaJ0SNY7soEsUEjb6gQ==").value();
  const ScramVerifier known = ScramVerifier::from_password("pencil", salt, 4096);
  const std::string messages =
      "n=user,r=rOprNGfwEbeRWgbNEkqO,"
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  const Digest client_key = hmac_sha256(salted_password("pencil", salt, 4096), "Client Key");
  EXPECT_EQ(base64(exclusive_or(client_key, hmac_sha256(known.stored_key, messages))),
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  EXPECT_EQ(base64(hmac_sha256(known.server_key, messages)), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

void expect_refused(ScramServer side, const std::string& first, std::string_view sqlstate, std::string_view text) {
  const auto answer = side.on_client_first(first);
  ASSERT_FALSE(answer.has_value()) << first;
  EXPECT_EQ(answer.error().sqlstate, sqlstate) << first;
  EXPECT_EQ(answer.error().message == "malformed SCRAM message" ? answer.error().detail : answer.error().message, text);
}

TEST(Scram, RefusesBadFirstMessagesInPostgreSqlsWords) {
  expect_refused(server(), "", "08P01", "The message is empty.");
  expect_refused(server(), std::string("n,,n=,r=a\0b", 11), "08P01", "Message length does not match input length.");
  expect_refused(server(), "x,,n=,r=a", "08P01", "Unexpected channel-binding flag \"'x'\".");
  expect_refused(server(), "nx,n=,r=a", "08P01", "Comma expected, but found character \"'x'\".");
  expect_refused(server(), "n,x,n=,r=a", "08P01", "Unexpected attribute \"'x'\" in client-first-message.");
  expect_refused(server(), "n,a=bob,n=,r=a", "0A000", "client uses authorization identity, but it is not supported");
  expect_refused(server(), "n,,m=x,n=,r=a", "0A000", "client requires an unsupported SCRAM extension");
  expect_refused(server(), "n,,r=a", "08P01", "Expected attribute \"n\" but found \"'r'\".");
  expect_refused(server(), "n,,n=,r", "08P01", "Expected character \"=\" for attribute \"r\".");
  expect_refused(server(), "n,,n=,r=\x7f", "08P01", "non-printable characters in SCRAM nonce");
  expect_refused(server(), "n,,n=,r=a,1", "08P01", "Attribute expected, but found invalid character \"'1'\".");
  expect_refused(server(), "p=tls-server-end-point,,n=,r=a", "08P01",
                 "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel "
                 "binding data.");
  expect_refused(
      server_plus(), "n,,n=,r=a", "08P01",
      "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.");
  expect_refused(server_plus(), "p=tls-unique,,n=,r=a", "08P01",
                 "unsupported SCRAM channel-binding type \"tls-unique\"");
}

TEST(Scram, RefusesADowngrade) {
  ScramServer offered_plus(
      {.mechanism = std::string(scram_sha_256), .verifier = verifier(), .tls_server_end_point = end_point});
  expect_refused(offered_plus, "y,,n=,r=a", "28000", "SCRAM channel binding negotiation error");
  EXPECT_TRUE(offered_plus.on_client_first("n,,n=,r=a").has_value());
  EXPECT_TRUE(server().on_client_first("y,,n=,r=a").has_value());
}

TEST(Scram, RefusesBadFinalMessagesInPostgreSqlsWords) {
  const std::string proof = "p=" + std::string(43, 'A') + "=";
  const auto refused = [&](const std::string& before_nonce, const std::string& after_nonce) {
    ScramServer side = server();
    const std::string nonce = value_of(side.on_client_first("n,,n=,r=a").value(), "r=");
    const auto proven = side.on_client_final(before_nonce + nonce + after_nonce);
    if (proven) return std::string(*proven ? "proven" : "wrong");
    return proven.error().message == "malformed SCRAM message" ? proven.error().detail : proven.error().message;
  };
  EXPECT_EQ(refused("c=biws,r=", "," + proof), "wrong");
  EXPECT_EQ(refused("c=biws,r=", ",x=1," + proof), "wrong");
  EXPECT_EQ(refused("c=biws,r=", "x," + proof), "invalid SCRAM response");
  EXPECT_EQ(refused("c=eSws,r=", "," + proof), "unexpected SCRAM channel-binding attribute in client-final-message");
  EXPECT_EQ(refused("r=", "," + proof), "Expected attribute \"c\" but found \"'r'\".");
  EXPECT_EQ(refused("c=biws,r=", ""), "Attribute expected, but found end of string.");
  EXPECT_EQ(refused("c=biws,r=", ",p=AAAA"), "Malformed proof in client-final-message.");
  EXPECT_EQ(refused("c=biws,r=", "," + proof + ",x=1"), "Garbage found at the end of client-final-message.");
}

TEST(Scram, AMadeUpVerifierTakesNoProof) {
  ScramServer doomed({.mechanism = std::string(scram_sha_256), .verifier = verifier(), .doomed = true});
  ScramClient client({.secret = PlainPassword{"secret"}});
  const auto final = client.on_server_first(doomed.on_client_first(client.client_first()).value()).value();
  EXPECT_EQ(doomed.on_client_final(final).value(), std::nullopt);
}

TEST(Scram, ClientTrustsNoServer) {
  const auto refused = [](const std::string& after_nonce, std::string_view nonce_suffix = "more") {
    ScramClient client({.secret = PlainPassword{"secret"}});
    const std::string nonce = value_of(client.client_first(), "r=");
    const auto answer = client.on_server_first("r=" + nonce + std::string(nonce_suffix) + after_nonce);
    if (answer) return std::string("taken");
    EXPECT_EQ(answer.error().sqlstate, "08P01");
    return answer.error().detail.empty() ? answer.error().message : answer.error().detail;
  };
  EXPECT_EQ(refused(",s=c2FsdA==,i=1"), "taken");
  EXPECT_EQ(refused(",s=c2FsdA==,i=1", ""), "Nonce does not match.");
  EXPECT_EQ(refused(",s=c2FsdA==,i=1", "\x01"), "Nonce does not match.");
  EXPECT_EQ(refused(",s=c2FsdA==,i=0"), "Invalid iteration count.");
  EXPECT_EQ(refused(",s=c2FsdA==,i=1x"), "Invalid iteration count.");
  EXPECT_EQ(refused(",s=c2FsdA==,i=99999999999"), "Invalid iteration count.");
  EXPECT_EQ(refused(",s=c2FsdA==,i=1000001"), "the server asks for more than 1000000 SCRAM iterations");
  EXPECT_EQ(refused(",s=,i=1"), "Invalid salt.");
  EXPECT_EQ(refused(",s=c2Fs dA=,i=1"), "Invalid salt.");
  EXPECT_EQ(refused(",s=c2FsdA==,i=1,x=1"), "Garbage found at the end of server-first-message.");
  EXPECT_EQ(refused(""), "Expected attribute \"s\" but found \"0x00\".");

  ScramClient client({.secret = PlainPassword{"secret"}});
  EXPECT_FALSE(client.on_server_first("r=stranger,s=c2FsdA==,i=1"));
  EXPECT_FALSE(client.on_server_first("m=ext,r=x,s=c2FsdA==,i=1"));
  EXPECT_FALSE(client.on_server_first(""));
}

TEST(Scram, ClientChecksTheServersSignature) {
  ScramServer side = server();
  ScramClient client({.secret = PlainPassword{"secret"}});
  const auto final = client.on_server_first(side.on_client_first(client.client_first()).value()).value();
  const std::string signature = side.on_client_final(final).value().value().server_final;
  EXPECT_TRUE(client.on_server_final(signature));
  EXPECT_FALSE(client.on_server_final(signature + ",x=1"));
  EXPECT_FALSE(client.on_server_final("v=" + std::string(43, 'A') + "="));
  EXPECT_FALSE(client.on_server_final("v="));
  EXPECT_FALSE(client.on_server_final(""));
  EXPECT_EQ(client.on_server_final("e=other-error").error().detail, "other-error");
}

}  // namespace
}  // namespace millrace::pgwire
