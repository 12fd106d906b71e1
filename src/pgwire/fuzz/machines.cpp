#include <cstdlib>

#include "pgwire/fuzz/subjects.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/client_authentication.hpp"
#include "pgwire/sansio/saslprep.hpp"
#include "pgwire/sansio/scram_client.hpp"
#include "pgwire/sansio/scram_server.hpp"
#include "pgwire/sansio/server_login.hpp"
#include "pgwire/sansio/user_list.hpp"

namespace millrace::pgwire::fuzz {
namespace {

// Stands in an input for the nonce of this run, which no input can know.
constexpr char nonce_mark = '\x01';
constexpr char separator = '\x02';
const std::vector<std::byte> end_point(32, std::byte{7});
const ScramKeys keys{.client_key = {std::byte{1}}, .server_key = {std::byte{2}}};

std::string with_nonce(std::string_view text, std::string_view nonce) {
  std::string result;
  for (const char c : text) {
    if (c == nonce_mark) {
      result += nonce;
    } else {
      result += c;
    }
  }
  return result;
}

// What follows "r=" up to the next comma.
std::string_view nonce_in(std::string_view message) {
  const std::size_t start = message.find("r=");
  if (start == std::string_view::npos) return {};
  const std::string_view rest = message.substr(start + 2);
  return rest.substr(0, rest.find(','));
}

std::pair<std::string_view, std::string_view> split(std::string_view text) {
  const std::size_t at = text.find(separator);
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

ScramVerifier verifier() { return ScramVerifier::from_password("secret", "salt of the test", 1); }

// A client that can't know the password, at the server's half of the exchange: two messages.
template <bool plus>
void scram_server(Bytes input) {
  ScramServer server({.mechanism = std::string(plus ? scram_sha_256_plus : scram_sha_256),
                      .verifier = verifier(),
                      .doomed = false,
                      .tls_server_end_point = plus ? end_point : std::vector<std::byte>{}});
  const auto [first, final] = split(as_text(input));
  const auto answer = server.on_client_first(first);
  if (!answer) {
    require(answer.error().sqlstate.size() == 5);
    return;
  }
  const auto proven = server.on_client_final(with_nonce(final, nonce_in(*answer)));
  require(!proven || !*proven);
}

// A server that doesn't know the keys, at the client's half: two messages.
void scram_client(Bytes input) {
  ScramClient client({.secret = keys, .binding = ScramClient::Binding::unsupported});
  const auto [first, final] = split(as_text(input));
  const auto answer = client.on_server_first(with_nonce(first, nonce_in(client.client_first())));
  if (!answer) {
    require(answer.error().sqlstate == "08P01");
    return;
  }
  require(!client.on_server_final(final));
}

// A byte that chooses what the server has, then 'p' messages, each a length byte and a body.
void client_authentication(Bytes input) {
  if (input.empty()) return;
  const auto choice = std::to_integer<unsigned>(input[0]);
  ClientAuthentication::Options options{.user = "alice", .mock_seed = "seed"};
  options.method = choice & 1 ? AuthMethod::md5 : AuthMethod::scram_sha_256;
  if (choice & 2) options.secret = verifier();
  if (choice & 4) options.secret = Md5Password{"md5" + std::string(32, '0')};
  if (choice & 8) {
    options.tls = true;
    options.tls_server_end_point = end_point;
  }
  ClientAuthentication authentication(std::move(options));
  auto step = authentication.start();
  Bytes rest = input.subspan(1);
  std::string nonce;
  while (step.state == ClientAuthentication::State::more && !rest.empty()) {
    if (const auto seen = nonce_in(step.send); !seen.empty()) nonce = seen;
    const std::size_t length = std::min<std::size_t>(std::to_integer<std::size_t>(rest[0]), rest.size() - 1);
    step = authentication.on_password_message(as_bytes(with_nonce(as_text(rest.subspan(1, length)), nonce)));
    rest = rest.subspan(1 + length);
  }
  require(step.state != ClientAuthentication::State::accepted);
  if (step.state == ClientAuthentication::State::rejected) {
    require(step.error.sqlstate.size() == 5 && !step.error.message.empty());
    const auto after = authentication.on_password_message({});
    require(after.state == ClientAuthentication::State::rejected);
  }
}

// A byte that chooses what the client has, then a server's messages.
void server_login(Bytes input) {
  if (input.empty()) return;
  const auto choice = std::to_integer<unsigned>(input[0]);
  ServerLogin::Options options{.user = "alice", .parameters = {{"user", "alice"}}};
  if ((choice & 3) == 1) options.credential = Md5Password{"md5" + std::string(32, '0')};
  if ((choice & 3) == 2) options.credential = keys;
  // Never with SCRAM: its iterations would take the fuzzer's time.
  const bool plain = (choice & 3) == 3;
  if (plain) options.credential = PlainPassword{"secret"};
  options.secure_transport = (choice & 4) != 0;
  if (choice & 8) options.tls_server_end_point = end_point;
  ServerLogin login(std::move(options));
  Bytes rest = input.subspan(1);
  std::string nonce;
  while (rest.size() >= header_size) {
    const Header header = load_header(rest);
    if (!header.valid() || header.total() > rest.size()) break;
    if (login.is_slow(header.type)) break;
    const std::string body = with_nonce(as_text(rest.subspan(header_size, header.length - 4)), nonce);
    const auto step = login.on_message(header.type, as_bytes(body));
    if (const auto seen = nonce_in(step.send); !seen.empty()) nonce = seen;
    if (step.state == ServerLogin::State::failed) {
      require(step.error.sqlstate.size() == 5 && !step.error.message.empty());
      require(step.error_response.empty() || step.error_response.size() == body.size() + header_size);
    }
    if (step.state != ServerLogin::State::more) {
      require(login.on_message(header.type, as_bytes(body)).state == ServerLogin::State::failed);
      break;
    }
    rest = rest.subspan(header.total());
  }
}

void user_list(Bytes input) {
  const auto users = parse_user_list(as_text(input));
  if (!users) {
    require(users.error().message.starts_with("line "));
    return;
  }
  for (const auto& [name, secret] : *users) require(!name.empty());
}

void secret(Bytes input) {
  const auto parsed = parse_secret(as_text(input));
  if (const auto* known = std::get_if<ScramVerifier>(&parsed)) {
    const auto again = ScramVerifier::parse(known->text());
    require(again && again->text() == known->text());
  }
}

void saslprep_password(Bytes input) {
  const std::string prepared = saslprep(as_text(input));
  require(!prepared.empty() || input.empty());
}

std::string sequence(char choice, const std::vector<std::string>& bodies) {
  std::string input(1, choice);
  for (const std::string& body : bodies) {
    input += static_cast<char>(body.size());
    input += body;
  }
  return input;
}

std::string initial_response(std::string_view mechanism, std::string_view data) {
  std::string message;
  append_sasl_initial_response(message, mechanism, data);
  return message.substr(header_size);
}

const std::string proof = "p=" + std::string(43, 'A') + "=";

std::string exchange(std::string_view first, std::string_view final) {
  return std::string(first) + separator + std::string(final);
}

std::vector<std::string> client_authentication_samples() {
  return {sequence(1, {std::string("md5") + std::string(32, '0') + '\0'}),
          sequence(2, {initial_response(scram_sha_256, "n,,n=,r=abc"), "c=biws,r=\x01," + proof}),
          sequence(0, {initial_response(scram_sha_256, "y,,n=,r=abc"), "c=eSws,r=\x01," + proof}),
          sequence(10, {initial_response(scram_sha_256_plus, "p=tls-server-end-point,,n=,r=abc"),
                        "c=biws,r=\x01," + proof})};
}

std::vector<std::string> server_login_samples() {
  std::string ready;
  append_authentication_ok(ready);
  append_parameter_status(ready, "server_version", "15.0");
  append_backend_key_data(ready, 4711, 42);
  append_notice_response(ready, {.severity = "NOTICE", .sqlstate = "00000", .message = "hello"});
  append_ready_for_query(ready, 'I');

  std::string md5;
  append_authentication_md5(md5, as_bytes("salt").first<4>());
  std::string cleartext;
  append_authentication_cleartext(cleartext);

  std::string scram;
  const std::vector<std::string_view> mechanisms{scram_sha_256_plus, scram_sha_256};
  append_authentication_sasl(scram, mechanisms);
  append_authentication_sasl_continue(scram, "r=\x01more,s=c2FsdA==,i=4096");
  append_authentication_sasl_final(scram, "v=" + std::string(43, 'A') + "=");

  std::string error;
  append_error_response(error, {.severity = "FATAL", .sqlstate = "28P01", .message = "no"});
  // As from a server that leaves out the SQLSTATE.
  std::string bare_error;
  append_error_response(bare_error, {.severity = "FATAL", .sqlstate = "", .message = "no"});
  std::string negotiate;
  append_negotiate_protocol_version(negotiate, protocol_3_0, {});
  return {'\0' + ready,  '\1' + md5 + ready, '\7' + cleartext + ready, '\2' + scram + ready,
          '\16' + scram, '\0' + error,       '\0' + bare_error,        '\0' + negotiate + ready};
}

}  // namespace

std::span<const Machine> machines() {
  static const std::vector<Machine> all{
      {"scram_server",
       scram_server<false>,
       {exchange("n,,n=,r=abc", "c=biws,r=\x01," + proof),
        exchange("y,,n=user,r=abc,x=1", "c=eSws,r=\x01,x=2," + proof)}},
      {"scram_server_plus",
       scram_server<true>,
       {exchange("p=tls-server-end-point,,n=,r=abc",
                 "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=,r=\x01," + proof)}},
      {"scram_client",
       scram_client,
       {exchange("r=\x01more,s=c2FsdA==,i=4096", "v=" + std::string(43, 'A') + "="),
        exchange("r=\x01more,s=c2FsdA==,i=1", "e=other-error")}},
      {"client_authentication", client_authentication, client_authentication_samples()},
      {"server_login", server_login, server_login_samples()},
      {"user_list",
       user_list,
       {"\"alice\" \"secret\"\n", "; who\n\"a\"\"b\" \"md5" + std::string(32, '0') + "\" # why\r\n\n\"c\" \"\"\n"}},
      {"secret", secret, {"secret", "md5" + std::string(32, 'f'), verifier().text()}},
      {"saslprep", saslprep_password, {"plain", "I\xc2\xadX", "\xc2\xaa", "\xe2\x85\xa8", "\xd8\xa7\x31", "\xff"}},
  };
  return all;
}

}  // namespace millrace::pgwire::fuzz
