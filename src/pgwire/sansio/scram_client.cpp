#include "pgwire/sansio/scram_client.hpp"

#include <fmt/core.h>

#include <charconv>

#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/crypto.hpp"
#include "pgwire/sansio/scram_attributes.hpp"

namespace millrace::pgwire {
namespace {

constexpr std::size_t raw_nonce_size = 18;

Result<std::uint32_t> parse_iterations(std::string_view text) {
  std::uint32_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || stop != text.data() + text.size() || count < 1) {
    return malformed_scram("Invalid iteration count.");
  }
  if (count > ScramClient::max_iterations) {
    return fail(fmt::format("the server asks for more than {} SCRAM iterations", ScramClient::max_iterations), "08P01");
  }
  return count;
}

ScramKeys derive_keys(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  const Digest salted = salted_password(password, salt, iterations);
  return {.client_key = hmac_sha256(salted, "Client Key"), .server_key = hmac_sha256(salted, "Server Key")};
}

}  // namespace

ScramClient::ScramClient(Options options)
    : options_(std::move(options)), nonce_(base64(as_bytes(random_bytes(raw_nonce_size)))) {}

std::string ScramClient::binding_header() const {
  switch (options_.binding) {
    case Binding::unsupported:
      return "n,,";
    case Binding::not_offered:
      return "y,,";
    case Binding::bound:
      break;
  }
  return "p=tls-server-end-point,,";
}

// PostgreSQL takes the user from the start-up packet; libpq leaves it empty here too.
std::string ScramClient::client_first() const { return fmt::format("{}n=,r={}", binding_header(), nonce_); }

Result<std::string> ScramClient::on_server_first(std::string_view message) {
  ScramAttributes attributes(message);
  const auto nonce = attributes.take('r');
  if (!nonce) return std::unexpected(nonce.error());
  if (nonce->size() <= nonce_.size() || !nonce->starts_with(nonce_) || !is_scram_printable(*nonce)) {
    return fail("invalid SCRAM response", "08P01", {}, "Nonce does not match.");
  }
  const auto salt_text = attributes.take('s');
  if (!salt_text) return std::unexpected(salt_text.error());
  const auto salt = base64_decoded(*salt_text);
  if (!salt || salt->empty()) return malformed_scram("Invalid salt.");
  const auto iterations_text = attributes.take('i');
  if (!iterations_text) return std::unexpected(iterations_text.error());
  const auto iterations = parse_iterations(*iterations_text);
  if (!iterations) return std::unexpected(iterations.error());
  if (!attributes.at_end()) return malformed_scram("Garbage found at the end of server-first-message.");

  const ScramKeys keys = std::holds_alternative<ScramKeys>(options_.secret)
                             ? std::get<ScramKeys>(options_.secret)
                             : derive_keys(std::get<PlainPassword>(options_.secret).text, *salt, *iterations);
  std::string binding = binding_header();
  if (options_.binding == Binding::bound) binding += as_text(options_.tls_server_end_point);
  const std::string without_proof = fmt::format("c={},r={}", base64(as_bytes(binding)), *nonce);
  const std::string auth_message = fmt::format("n=,r={},{},{}", nonce_, message, without_proof);
  const Digest signature = hmac_sha256(sha256(keys.client_key), auth_message);
  server_signature_ = hmac_sha256(keys.server_key, auth_message);
  return fmt::format("{},p={}", without_proof, base64(exclusive_or(keys.client_key, signature)));
}

Result<> ScramClient::on_server_final(std::string_view message) const {
  ScramAttributes attributes(message);
  if (attributes.peek() == 'e') {
    const auto reason = attributes.take('e');
    return fail("the server reports an error in the SCRAM exchange", "28P01", {},
                reason ? std::string(*reason) : std::string());
  }
  const auto signature_text = attributes.take('v');
  if (!signature_text) return std::unexpected(signature_text.error());
  const auto signature = base64_digest(*signature_text);
  if (!signature) return malformed_scram("Invalid server signature.");
  if (!attributes.at_end()) return malformed_scram("Garbage found at the end of server-final-message.");
  if (!equal_in_constant_time(*signature, server_signature_)) {
    return fail("incorrect server signature: the server doesn't know the password", "08P01");
  }
  return {};
}

}  // namespace millrace::pgwire
