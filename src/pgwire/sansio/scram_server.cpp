#include "pgwire/sansio/scram_server.hpp"

#include <fmt/core.h>

#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/crypto.hpp"
#include "pgwire/sansio/scram_attributes.hpp"

namespace millrace::pgwire {
namespace {

constexpr std::size_t raw_nonce_size = 18;
constexpr std::string_view binding_type = "tls-server-end-point";

Result<> check_text(std::string_view message) {
  if (message.empty()) return malformed_scram("The message is empty.");
  if (message.find('\0') != std::string_view::npos) {
    return malformed_scram("Message length does not match input length.");
  }
  return {};
}

}  // namespace

Result<> ScramServer::check_channel_binding_flag(char flag, std::string_view type) const {
  const bool plus = options_.mechanism == scram_sha_256_plus;
  switch (flag) {
    case 'n':
    case 'y':
      if (plus) {
        return malformed_scram(
            "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.");
      }
      // The client could have bound the channel and saw no offer, yet we made one: somebody removed it on the way.
      if (flag == 'y' && !options_.tls_server_end_point.empty()) {
        return fail("SCRAM channel binding negotiation error", "28000", {},
                    "The client supports SCRAM channel binding but thinks the server does not.  However, this server "
                    "does support channel binding.");
      }
      return {};
    case 'p':
      if (!plus) {
        return malformed_scram(
            "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel "
            "binding data.");
      }
      if (type != binding_type) {
        return fail(fmt::format("unsupported SCRAM channel-binding type \"{}\"", shown(type)), "08P01");
      }
      return {};
    default:
      return malformed_scram(fmt::format("Unexpected channel-binding flag \"{}\".", shown(flag)));
  }
}

Result<std::string> ScramServer::on_client_first(std::string_view message) {
  if (auto text = check_text(message); !text) return std::unexpected(std::move(text.error()));
  ScramAttributes attributes(message);

  // gs2-header: the binding flag, a comma, an authorization identity, a comma.
  binding_flag_ = attributes.peek();
  std::string_view type;
  if (binding_flag_ == 'p') {
    auto value = attributes.take('p');
    if (!value) return std::unexpected(std::move(value.error()));
    type = *value;
  } else {
    attributes.skip();
  }
  if (auto flag = check_channel_binding_flag(binding_flag_, type); !flag) {
    return std::unexpected(std::move(flag.error()));
  }
  if (binding_flag_ != 'p') {
    if (auto comma = attributes.take_comma(); !comma) return std::unexpected(std::move(comma.error()));
  }
  if (attributes.peek() == 'a') {
    return fail("client uses authorization identity, but it is not supported", "0A000");
  }
  if (attributes.peek() != ',') {
    return malformed_scram(
        fmt::format("Unexpected attribute \"{}\" in client-first-message.", shown(attributes.peek())));
  }
  attributes.skip();

  const std::string_view bare = attributes.rest();
  if (attributes.peek() == 'm') return fail("client requires an unsupported SCRAM extension", "0A000");
  // The user's name here is not used: the start-up packet has told it.
  if (auto user = attributes.take('n'); !user) return std::unexpected(std::move(user.error()));
  auto client_nonce = attributes.take('r');
  if (!client_nonce) return std::unexpected(std::move(client_nonce.error()));
  if (!is_scram_printable(*client_nonce)) return fail("non-printable characters in SCRAM nonce", "08P01");
  while (!attributes.at_end()) {
    if (auto extension = attributes.take_any(); !extension) return std::unexpected(std::move(extension.error()));
  }

  nonce_ = *client_nonce;
  nonce_ += base64(as_bytes(random_bytes(raw_nonce_size)));
  std::string server_first =
      fmt::format("r={},s={},i={}", nonce_, base64(as_bytes(options_.verifier.salt)), options_.verifier.iterations);
  first_messages_ = fmt::format("{},{}", bare, server_first);
  return server_first;
}

std::string ScramServer::expected_channel_binding() const {
  if (binding_flag_ != 'p') return fmt::format("{},,", binding_flag_);
  std::string data = fmt::format("p={},,", binding_type);
  data += as_text(options_.tls_server_end_point);
  return data;
}

Result<std::optional<ScramServer::Proven>> ScramServer::on_client_final(std::string_view message) {
  if (auto text = check_text(message); !text) return std::unexpected(std::move(text.error()));
  ScramAttributes attributes(message);

  const auto binding = attributes.take('c');
  if (!binding) return std::unexpected(binding.error());
  if (*binding != base64(as_bytes(expected_channel_binding()))) {
    if (binding_flag_ == 'p') return fail("SCRAM channel binding check failed", "28000");
    return fail("unexpected SCRAM channel-binding attribute in client-final-message", "08P01");
  }
  const auto nonce = attributes.take('r');
  if (!nonce) return std::unexpected(nonce.error());

  std::size_t proof_at = 0;
  std::pair<char, std::string_view> part;
  do {
    proof_at = attributes.position() - 1;  // the comma before it
    auto next = attributes.take_any();
    if (!next) return std::unexpected(std::move(next.error()));
    part = *next;
  } while (part.first != 'p');
  const auto proof = base64_digest(part.second);
  if (!proof) return malformed_scram("Malformed proof in client-final-message.");
  if (!attributes.at_end()) return malformed_scram("Garbage found at the end of client-final-message.");
  if (!equal_in_constant_time(as_bytes(*nonce), as_bytes(nonce_))) {
    return fail("invalid SCRAM response", "08P01", {}, "Nonce does not match.");
  }

  const std::string auth_message = fmt::format("{},{}", first_messages_, message.substr(0, proof_at));
  const Digest signature = hmac_sha256(options_.verifier.stored_key, auth_message);
  const Digest client_key = exclusive_or(*proof, signature);
  const bool right = equal_in_constant_time(sha256(client_key), options_.verifier.stored_key);
  if (!right || options_.doomed) return std::nullopt;

  const Digest server_signature = hmac_sha256(options_.verifier.server_key, auth_message);
  return Proven{.server_final = fmt::format("v={}", base64(server_signature)),
                .keys = {.client_key = client_key, .server_key = options_.verifier.server_key}};
}

}  // namespace millrace::pgwire
