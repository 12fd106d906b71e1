// What ServerLogin makes of servers that are broken or hostile.
#include "pgwire/sansio/server_login.hpp"

#include <gtest/gtest.h>

#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::pgwire {
namespace {

using State = ServerLogin::State;
using namespace std::string_view_literals;

ServerLogin login(ServerCredential credential = PlainPassword{"secret"}, bool secure = false) {
  return ServerLogin({.user = "alice",
                      .credential = std::move(credential),
                      .parameters = {{"user", "alice"}, {"database", "shop"}},
                      .secure_transport = secure});
}

// Feeds messages that an encoder wrote; the step after the last, or after the first that ends the log-in.
ServerLogin::Step feed(ServerLogin& side, std::string_view messages) {
  ServerLogin::Step step{State::more, {}, {}, {}};
  while (!messages.empty() && step.state == State::more) {
    const Header header = load_header(as_bytes(messages));
    step = side.on_message(header.type, as_bytes(messages.substr(header_size, header.length - 4)));
    messages.remove_prefix(header.total());
  }
  return step;
}

template <typename... Arguments, typename... Given>
std::string written(void (*append)(std::string&, Arguments...), Given&&... arguments) {
  std::string message;
  append(message, std::forward<Given>(arguments)...);
  return message;
}

std::string error_response(const ErrorFields& fields) {
  std::string message;
  append_error_response(message, fields);
  return message;
}
std::string offer(std::initializer_list<std::string_view> mechanisms) {
  return written(append_authentication_sasl, std::span(mechanisms.begin(), mechanisms.size()));
}
std::string authentication(char kind) { return std::string("R\0\0\0\x08\0\0\0", 8) + kind; }

const std::string ok = written(append_authentication_ok);
const std::string ready = written(append_ready_for_query, 'I');

void expect_failed(const ServerLogin::Step& step, std::string_view sqlstate, std::string_view message) {
  EXPECT_EQ(step.state, State::failed);
  EXPECT_EQ(step.error.sqlstate, sqlstate);
  EXPECT_EQ(step.error.message, message);
  EXPECT_EQ(step.send, "");
}

TEST(ServerLogin, StartsAsTold) {
  EXPECT_EQ(login().startup_packet(), "\0\0\0\x22\0\3\0\0user\0alice\0database\0shop\0\0"sv);
}

TEST(ServerLogin, PassesAnErrorOnWhole) {
  auto side = login();
  const std::string error = error_response({.severity = "FATAL", .sqlstate = "3D000", .message = "no such database"});
  const auto step = feed(side, ok + error);
  expect_failed(step, "3D000", "no such database");
  EXPECT_EQ(step.error_response, error);
}

TEST(ServerLogin, TakesErrorsThatLackFields) {
  for (const auto& [code, expected] :
       {std::pair("", "08P01"), std::pair("1234", "08P01"), std::pair("28p01", "08P01")}) {
    auto side = login();
    expect_failed(feed(side, error_response({.severity = "", .sqlstate = code, .message = "no"})), expected, "no");
  }
  auto side = login();
  expect_failed(side.on_message('E', as_bytes("\0"sv)), "08P01", "the server refused the log-in without saying why");
  auto broken = login();
  const auto step = broken.on_message('E', as_bytes("Mtext"));
  expect_failed(step, "08P01", "the server sent a malformed error");
  EXPECT_EQ(step.error_response, "");
}

TEST(ServerLogin, LetsNoticesPassAtAnyTime) {
  auto side = login({});
  const std::string notice =
      written(append_notice_response, ErrorFields{.severity = "NOTICE", .sqlstate = "00000", .message = "hi"});
  EXPECT_EQ(feed(side, notice + ok + notice + ready).state, State::ready);
}

TEST(ServerLogin, RefusesAnythingOutOfOrder) {
  for (const std::string& messages :
       {ready, written(append_parameter_status, "a", "b"), written(append_backend_key_data, 1U, 2U), ok + ok,
        ok + written(append_parse_complete), ok + written(append_authentication_cleartext), authentication(11),
        authentication(12), authentication(99),
        written(append_negotiate_protocol_version, protocol_3_0, std::span<const std::string>{}) + ready,
        ok + written(append_negotiate_protocol_version, protocol_3_0, std::span<const std::string>{}),
        ok + written(append_ready_for_query, 'T'),
        written(append_authentication_md5, as_bytes("salt").first<4>()) + ready, offer({"SCRAM-SHA-256"}) + ok,
        offer({"SCRAM-SHA-256"}) + authentication(12), std::string("\0\0\0\0\4", 5)}) {
    auto side = login();
    const auto step = feed(side, messages);
    EXPECT_EQ(step.state, State::failed);
    EXPECT_EQ(step.error.sqlstate, "08P01");
    EXPECT_EQ(feed(side, ok).state, State::failed) << "a log-in that has ended stays so";
  }
}

TEST(ServerLogin, DoesNotTakeOkInPlaceOfTheServersProof) {
  auto side = login(ScramKeys{});
  const auto first = feed(side, offer({"SCRAM-SHA-256"}));
  const std::string nonce = first.send.substr(first.send.find("r=") + 2);
  const auto second = feed(side, written(append_authentication_sasl_continue, "r=" + nonce + "x,s=c2FsdA==,i=1"));
  ASSERT_EQ(second.state, State::more);
  EXPECT_EQ(feed(side, ok).state, State::failed);
}

TEST(ServerLogin, RefusesMessagesThatAreTooLong) {
  auto side = login();
  expect_failed(side.on_message('R', as_bytes(std::string(40'000, 'x'))), "08P01",
                "the server sent a message that is too long for a log-in");
  auto talkative = login();
  std::string many = ok;
  for (int i = 0; i < 101; ++i) append_parameter_status(many, "a", std::string(1'000, 'b'));
  expect_failed(feed(talkative, many), "08P01", "the server reports too many parameters");
}

TEST(ServerLogin, SendsAPlainPasswordOnlyWhereNobodyListens) {
  const std::string request = written(append_authentication_cleartext);
  auto open = login();
  expect_failed(feed(open, request), "28000",
                "the server asks for a plain password over a connection that is not encrypted");
  auto secure = login(PlainPassword{"secret"}, true);
  EXPECT_EQ(feed(secure, request).send, "p\0\0\0\x0bsecret\0"sv);
  EXPECT_EQ(feed(secure, ok + ready).state, State::ready);
}

TEST(ServerLogin, SaysWhichSecretIsMissing) {
  auto none = login({});
  expect_failed(feed(none, offer({"SCRAM-SHA-256"})), "28000",
                "the server asks for SCRAM-SHA-256, and neither the password nor SCRAM keys are known");
  auto keys = login(ScramKeys{});
  expect_failed(feed(keys, written(append_authentication_md5, as_bytes("salt").first<4>())), "28000",
                "the server asks for an md5 password, and none is known for the user");
  auto hash = login(Md5Password{"md5" + std::string(32, '0')}, true);
  expect_failed(feed(hash, written(append_authentication_cleartext)), "28000",
                "the server asks for a plain password, and none is known for the user");
  for (const char kind : {'\2', '\6', '\7', '\11'}) {
    auto side = login();
    const auto step = feed(side, kind == '\6' ? std::string("R\0\0\0\x0a\0\0\0\6ab", 11) : authentication(kind));
    expect_failed(step, "28000", "the server asks for GSSAPI, SSPI or Kerberos authentication, which is not supported");
  }
}

TEST(ServerLogin, ChoosesAMechanismThatItHas) {
  auto neither = login();
  expect_failed(feed(neither, offer({"PLAIN", "OAUTHBEARER"})), "28000",
                "the server offers no SASL mechanism that is supported (SCRAM-SHA-256)");
  auto stripped = login();
  expect_failed(feed(stripped, offer({"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"})), "08P01",
                "the server offers SCRAM-SHA-256-PLUS over a connection that is not encrypted");
  auto unbound = login(PlainPassword{"secret"}, true);
  EXPECT_NE(feed(unbound, offer({"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"})).send.find("n,,n=,r="), std::string::npos);
}

TEST(ServerLogin, RefusesOptionsOnlyThatItSent) {
  const std::vector<std::string> option{"_pq_.x"};
  auto unsent = login({});
  EXPECT_EQ(feed(unsent, written(append_negotiate_protocol_version, protocol_3_0, option)).state, State::failed);
  ServerLogin sent({.user = "alice", .parameters = {{"user", "alice"}, {"_pq_.x", "1"}}});
  EXPECT_EQ(feed(sent, written(append_negotiate_protocol_version, protocol_3_0, option) + ok + ready).state,
            State::ready);
}

TEST(ServerLogin, SaysWhichStepIsSlow) {
  auto side = login();
  EXPECT_FALSE(side.is_slow('R'));
  feed(side, offer({"SCRAM-SHA-256"}));
  EXPECT_TRUE(side.is_slow('R'));
  EXPECT_FALSE(side.is_slow('N'));
  auto keys = login(ScramKeys{});
  feed(keys, offer({"SCRAM-SHA-256"}));
  EXPECT_FALSE(keys.is_slow('R'));
}

}  // namespace
}  // namespace millrace::pgwire
