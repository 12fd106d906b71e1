#include "pgwire/sansio/server_login.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"
#include "pgwire/sansio/md5_answer.hpp"
#include "pgwire/sansio/scram_client.hpp"
#include "pgwire/sansio/scram_server.hpp"

namespace millrace::pgwire {
namespace {

constexpr std::size_t length_word = 4;
// Of all the parameters that a server reports before it is ready; PostgreSQL 15's take 300.
constexpr std::size_t max_parameter_bytes = 100'000;

bool is_sqlstate(std::string_view text) {
  return text.size() == 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

}  // namespace

struct ServerLogin::Impl {
  enum class Expects {
    authentication,
    ok,  ///< AuthenticationOk after a password
    scram_first,
    scram_final,
    ok_after_scram,
    ready,
    nothing,
  };

  explicit Impl(Options given) : options(std::move(given)) {}

  Step fail_with(Error error, std::string error_response = {}) {
    expects = Expects::nothing;
    return {State::failed, {}, std::move(error), std::move(error_response)};
  }
  Step protocol_violation(std::string message) {
    return fail_with({.message = std::move(message), .sqlstate = "08P01"});
  }
  Step no_credential(std::string message) { return fail_with({.message = std::move(message), .sqlstate = "28000"}); }
  Step more(std::string send = {}) { return {State::more, std::move(send), {}, {}}; }

  Step on_error(Bytes body) {
    const auto notice = decode_notice(body);
    if (!notice) return protocol_violation("the server sent a malformed error");
    Error error;
    error.sqlstate = is_sqlstate(notice->sqlstate()) ? notice->sqlstate() : "08P01";
    error.message = notice->message();
    if (error.message.empty()) error.message = "the server refused the log-in without saying why";
    const auto length = std::byteswap(static_cast<std::uint32_t>(body.size() + length_word));
    std::string whole(1, backend::error_response);
    whole.append(reinterpret_cast<const char*>(&length), sizeof length);
    whole += as_text(body);
    return fail_with(std::move(error), std::move(whole));
  }

  // We ask for version 3.0, which every server has; only options that we sent may be unknown to it.
  Step on_negotiation(Bytes body) {
    const auto view = decode_negotiate_protocol_version(body);
    if (!view) return fail_with(view.error());
    for (const std::string_view option : view->unknown_options) {
      const bool sent = std::any_of(options.parameters.begin(), options.parameters.end(),
                                    [&](const auto& parameter) { return parameter.first == option; });
      if (!sent) return protocol_violation("the server refuses a protocol option that wasn't sent");
    }
    return more();
  }

  Step on_authentication(Bytes body) {
    const auto request = decode_authentication(body);
    if (!request) return fail_with(request.error());
    switch (expects) {
      case Expects::authentication:
        return on_first_request(*request);
      case Expects::ok:
      case Expects::ok_after_scram:
        if (request->kind == AuthenticationKind::ok) return authenticated();
        break;
      case Expects::scram_first:
        if (request->kind == AuthenticationKind::sasl_continue) return on_scram_first(as_text(request->data));
        break;
      case Expects::scram_final:
        if (request->kind == AuthenticationKind::sasl_final) return on_scram_final(as_text(request->data));
        break;
      case Expects::ready:
      case Expects::nothing:
        break;
    }
    return protocol_violation(
        fmt::format("unexpected authentication request {} from the server", static_cast<std::uint32_t>(request->kind)));
  }

  Step on_first_request(const AuthenticationView& request) {
    switch (request.kind) {
      case AuthenticationKind::ok:
        return authenticated();
      case AuthenticationKind::cleartext:
        return answer_cleartext();
      case AuthenticationKind::md5:
        return answer_md5(as_text(request.data));
      case AuthenticationKind::sasl:
        return start_scram(request.mechanisms);
      case AuthenticationKind::kerberos_v5:
      case AuthenticationKind::scm:
      case AuthenticationKind::gss:
      case AuthenticationKind::gss_continue:
      case AuthenticationKind::sspi:
        return no_credential("the server asks for GSSAPI, SSPI or Kerberos authentication, which is not supported");
      default:
        return protocol_violation(fmt::format("unexpected authentication request {} from the server",
                                              static_cast<std::uint32_t>(request.kind)));
    }
  }

  Step authenticated() {
    expects = Expects::ready;
    return more();
  }

  Step answer_cleartext() {
    const auto* plain = std::get_if<PlainPassword>(&options.credential);
    if (plain == nullptr) return no_credential("the server asks for a plain password, and none is known for the user");
    if (!options.secure_transport) {
      return no_credential("the server asks for a plain password over a connection that is not encrypted");
    }
    return send_password(plain->text);
  }

  Step answer_md5(std::string_view salt) {
    std::optional<std::string> answer;
    if (const auto* plain = std::get_if<PlainPassword>(&options.credential)) {
      answer = md5_answer(*plain, options.user, salt);
    } else if (const auto* md5 = std::get_if<Md5Password>(&options.credential)) {
      answer = md5_answer(*md5, salt);
    } else {
      return no_credential("the server asks for an md5 password, and none is known for the user");
    }
    if (!answer) return no_credential("the server asks for an md5 password, and this system forbids MD5");
    return send_password(*answer);
  }

  Step send_password(std::string_view password) {
    expects = Expects::ok;
    std::string send;
    append_password(send, password);
    return more(std::move(send));
  }

  Step start_scram(const StringList& mechanisms) {
    bool offered = false;
    bool plus_offered = false;
    for (const std::string_view mechanism : mechanisms) {
      offered |= mechanism == scram_sha_256;
      plus_offered |= mechanism == scram_sha_256_plus;
    }
    const bool can_bind = !options.tls_server_end_point.empty();
    if (plus_offered && !options.secure_transport) {
      return protocol_violation("the server offers SCRAM-SHA-256-PLUS over a connection that is not encrypted");
    }
    const bool bound = plus_offered && can_bind;
    if (!offered && !bound) {
      return no_credential("the server offers no SASL mechanism that is supported (SCRAM-SHA-256)");
    }
    ScramClient::Options chosen{.secret = {}, .tls_server_end_point = options.tls_server_end_point};
    if (const auto* plain = std::get_if<PlainPassword>(&options.credential)) {
      chosen.secret = *plain;
    } else if (const auto* keys = std::get_if<ScramKeys>(&options.credential)) {
      chosen.secret = *keys;
    } else {
      return no_credential("the server asks for SCRAM-SHA-256, and neither the password nor SCRAM keys are known");
    }
    if (can_bind) chosen.binding = bound ? ScramClient::Binding::bound : ScramClient::Binding::not_offered;
    scram.emplace(std::move(chosen));
    expects = Expects::scram_first;
    std::string send;
    append_sasl_initial_response(send, bound ? scram_sha_256_plus : scram_sha_256, scram->client_first());
    return more(std::move(send));
  }

  Step on_scram_first(std::string_view data) {
    const auto answer = scram->on_server_first(data);
    if (!answer) return fail_with(answer.error());
    expects = Expects::scram_final;
    std::string send;
    append_sasl_response(send, *answer);
    return more(std::move(send));
  }

  Step on_scram_final(std::string_view data) {
    if (const auto verified = scram->on_server_final(data); !verified) return fail_with(verified.error());
    expects = Expects::ok_after_scram;
    return more();
  }

  Step on_parameter_status(Bytes body) {
    const auto status = decode_parameter_status(body);
    if (!status) return fail_with(status.error());
    parameter_bytes += body.size();
    if (parameter_bytes > max_parameter_bytes) {
      return protocol_violation("the server reports too many parameters");
    }
    session.parameter_statuses.emplace_back(status->name, status->value);
    return more();
  }

  Step on_key_data(Bytes body) {
    const auto key = decode_backend_key_data(body);
    if (!key) return fail_with(key.error());
    session.process_id = key->process_id;
    session.secret_key = key->secret_key;
    return more();
  }

  Step on_ready(Bytes body) {
    const auto status = decode_ready_for_query(body);
    if (!status) return fail_with(status.error());
    if (*status != 'I') return protocol_violation("the server is in a transaction right after log-in");
    expects = Expects::nothing;
    return {State::ready, {}, {}, {}};
  }

  Step on_message(char type, Bytes body) {
    if (body.size() + length_word > backend::max_login_length) {
      return protocol_violation("the server sent a message that is too long for a log-in");
    }
    const bool authenticating = expects != Expects::ready && expects != Expects::nothing;
    if (expects != Expects::nothing) {
      switch (type) {
        case backend::error_response:
          return on_error(body);
        case backend::notice_response:
          return more();
        default:
          break;
      }
    }
    if (authenticating && type == backend::authentication) return on_authentication(body);
    if (expects == Expects::authentication && type == backend::negotiate_protocol_version) return on_negotiation(body);
    if (expects == Expects::ready) {
      switch (type) {
        case backend::parameter_status:
          return on_parameter_status(body);
        case backend::backend_key_data:
          return on_key_data(body);
        case backend::ready_for_query:
          return on_ready(body);
        default:
          break;
      }
    }
    return protocol_violation(fmt::format("unexpected message type 0x{:02X} from the server during log-in",
                                          static_cast<unsigned char>(type)));
  }

  Options options;
  Session session;
  std::size_t parameter_bytes = 0;
  Expects expects = Expects::authentication;
  std::optional<ScramClient> scram;
};

ServerLogin::ServerLogin(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
ServerLogin::~ServerLogin() = default;

std::string ServerLogin::startup_packet() const {
  std::string packet;
  append_startup(packet, impl_->options.parameters);
  return packet;
}

bool ServerLogin::is_slow(char type) const {
  return type == backend::authentication && impl_->expects == Impl::Expects::scram_first &&
         std::holds_alternative<PlainPassword>(impl_->options.credential);
}

ServerLogin::Step ServerLogin::on_message(char type, Bytes body) { return impl_->on_message(type, body); }

const ServerLogin::Session& ServerLogin::session() const { return impl_->session; }

}  // namespace millrace::pgwire
