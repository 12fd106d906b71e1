#include "pgwire/sansio/client_authentication.hpp"

#include <fmt/core.h>

#include <array>

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"
#include "pgwire/sansio/crypto.hpp"
#include "pgwire/sansio/md5_answer.hpp"
#include "pgwire/sansio/scram_server.hpp"

namespace millrace::pgwire {
namespace {

constexpr std::size_t salt_size = 16;
constexpr std::size_t length_word = 4;

template <typename Secret>
bool is(const StoredSecret& secret) {
  return std::holds_alternative<Secret>(secret);
}

// Under the method md5 a user whose secret is a verifier proves himself by SCRAM, as in PostgreSQL.
bool uses_scram(const ClientAuthentication::Options& options) {
  return options.method == AuthMethod::scram_sha_256 ||
         (options.method == AuthMethod::md5 && is<ScramVerifier>(options.secret));
}

// The same salt each time, as a real user has: a salt that changed would tell that there is no such user.
std::string stable_salt(const ClientAuthentication::Options& options) {
  const Digest digest = hmac_sha256(as_bytes(options.mock_seed), options.user);
  return std::string(as_text(digest).substr(0, salt_size));
}

}  // namespace

bool ClientAuthentication::needs_preparation(const Options& options) {
  return uses_scram(options) && is<PlainPassword>(options.secret) && !options.derived;
}

void ClientAuthentication::prepare(Options& options) {
  if (!needs_preparation(options)) return;
  options.derived = ScramVerifier::from_password(std::get<PlainPassword>(options.secret).text, stable_salt(options));
}

struct ClientAuthentication::Impl {
  enum class Expects { nothing, md5_answer, sasl_initial, sasl_first, sasl_final };

  explicit Impl(Options given) : options(std::move(given)) { prepare(options); }

  Step accept(std::string send, ServerCredential credential) {
    expects = Expects::nothing;
    return {State::accepted, std::move(send), {}, std::move(credential)};
  }
  Step reject(Error error) {
    expects = Expects::nothing;
    return {State::rejected, {}, std::move(error), {}};
  }
  Step reject_password() {
    return reject(
        {.message = fmt::format("password authentication failed for user \"{}\"", options.user), .sqlstate = "28P01"});
  }
  Step more(Expects next, std::string send) {
    expects = next;
    return {State::more, std::move(send), {}, {}};
  }

  // What the stored secret alone is good for: a verifier checks proofs and makes none.
  ServerCredential stored_credential() const {
    if (const auto* plain = std::get_if<PlainPassword>(&options.secret)) return *plain;
    if (const auto* md5 = std::get_if<Md5Password>(&options.secret)) return *md5;
    return std::monostate{};
  }

  Step offer_sasl() {
    std::vector<std::string_view> mechanisms;
    if (offers_binding()) mechanisms.push_back(scram_sha_256_plus);
    mechanisms.push_back(scram_sha_256);
    std::string send;
    append_authentication_sasl(send, mechanisms);
    return more(Expects::sasl_initial, std::move(send));
  }

  Step ask_for_md5() {
    salt = random_bytes(4);
    std::string send;
    append_authentication_md5(send, as_bytes(salt).first<4>());
    return more(Expects::md5_answer, std::move(send));
  }

  Step on_md5_answer(Bytes body) {
    const auto given = decode_password(body);
    if (!given) return reject(given.error());
    if (given->empty()) return reject({.message = "empty password returned by client", .sqlstate = "28P01"});
    std::optional<std::string> right;
    if (const auto* plain = std::get_if<PlainPassword>(&options.secret)) {
      right = md5_answer(*plain, options.user, salt);
    } else if (const auto* md5 = std::get_if<Md5Password>(&options.secret)) {
      right = md5_answer(*md5, salt);
    }
    if (!right || !equal_in_constant_time(as_bytes(*right), as_bytes(*given))) return reject_password();
    return accept({}, stored_credential());
  }

  Step on_sasl_initial(Bytes body) {
    const auto initial = decode_sasl_initial_response(body);
    if (!initial) return reject(initial.error());
    const bool known =
        initial->mechanism == scram_sha_256 || (initial->mechanism == scram_sha_256_plus && offers_binding());
    if (!known) {
      return reject({.message = "client selected an invalid SASL authentication mechanism", .sqlstate = "08P01"});
    }
    start_scram(initial->mechanism);
    if (initial->data) return on_sasl_first(*initial->data);
    std::string send;
    append_authentication_sasl_continue(send, {});
    return more(Expects::sasl_first, std::move(send));
  }

  void start_scram(std::string_view mechanism) {
    ScramServer::Options chosen{
        .mechanism = std::string(mechanism), .verifier = {}, .doomed = false, .tls_server_end_point = {}};
    if (offers_binding()) chosen.tls_server_end_point = options.tls_server_end_point;
    if (const auto* verifier = std::get_if<ScramVerifier>(&options.secret)) {
      chosen.verifier = *verifier;
    } else if (is<PlainPassword>(options.secret)) {
      chosen.verifier = options.derived.value();
    } else {
      chosen.verifier.salt = stable_salt(options);
      chosen.doomed = true;
    }
    scram.emplace(std::move(chosen));
  }

  Step on_sasl_first(std::string_view data) {
    const auto answer = scram->on_client_first(data);
    if (!answer) return reject(answer.error());
    std::string send;
    append_authentication_sasl_continue(send, *answer);
    return more(Expects::sasl_final, std::move(send));
  }

  Step on_sasl_final(std::string_view data) {
    const auto proven = scram->on_client_final(data);
    if (!proven) return reject(proven.error());
    if (!*proven) return reject_password();
    std::string send;
    append_authentication_sasl_final(send, (*proven)->server_final);
    if (is<ScramVerifier>(options.secret)) return accept(std::move(send), (*proven)->keys);
    return accept(std::move(send), stored_credential());
  }

  bool offers_binding() const { return options.tls && !options.tls_server_end_point.empty(); }

  Options options;
  Expects expects = Expects::nothing;
  std::string salt;
  std::optional<ScramServer> scram;
};

ClientAuthentication::ClientAuthentication(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
ClientAuthentication::~ClientAuthentication() = default;

ClientAuthentication::Step ClientAuthentication::start() {
  if (impl_->options.method == AuthMethod::trust) return impl_->accept({}, impl_->stored_credential());
  return uses_scram(impl_->options) ? impl_->offer_sasl() : impl_->ask_for_md5();
}

ClientAuthentication::Step ClientAuthentication::on_password_message(Bytes body) {
  using Expects = Impl::Expects;
  if (impl_->expects == Expects::nothing) {
    return impl_->reject(
        {.message = fmt::format("invalid frontend message type {}", int{frontend::password}), .sqlstate = "08P01"});
  }
  if (impl_->expects == Expects::md5_answer) {
    if (body.size() + length_word > max_password_length) {
      return impl_->reject({.message = "invalid message length", .sqlstate = "08P01"});
    }
    return impl_->on_md5_answer(body);
  }
  // PostgreSQL doesn't say more about a SASL message that is too long.
  if (body.size() + length_word > max_sasl_length) return impl_->reject_password();
  switch (impl_->expects) {
    case Expects::sasl_initial:
      return impl_->on_sasl_initial(body);
    case Expects::sasl_first:
      return impl_->on_sasl_first(as_text(body));
    default:
      return impl_->on_sasl_final(as_text(body));
  }
}

Error ClientAuthentication::unexpected_message(char type) const {
  const std::string_view expected = impl_->expects == Impl::Expects::md5_answer ? "password" : "SASL";
  return {
      .message = fmt::format("expected {} response, got message type {}", expected, static_cast<unsigned char>(type)),
      .sqlstate = "08P01"};
}

}  // namespace millrace::pgwire
