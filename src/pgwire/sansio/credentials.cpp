#include "pgwire/sansio/credentials.hpp"

#include <fmt/core.h>

#include <charconv>
#include <limits>

#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/crypto.hpp"

namespace millrace::pgwire {
namespace {

constexpr std::string_view scram_prefix = "SCRAM-SHA-256$";
constexpr std::size_t md5_size = 35;

bool is_md5(std::string_view text) {
  return text.size() == md5_size && text.starts_with("md5") &&
         text.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos;
}

// Cuts `text` at the first `separator`; the part after it is left in `text`.
std::optional<std::string_view> cut(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at + 1);
  return part;
}

std::optional<std::uint32_t> parse_iterations(std::string_view text) {
  std::int32_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || stop != text.data() + text.size() || count < 1) return std::nullopt;
  return static_cast<std::uint32_t>(count);
}

}  // namespace

Result<ScramVerifier> ScramVerifier::parse(std::string_view text) {
  const auto malformed = [] { return fail("not a SCRAM-SHA-256 verifier"); };
  if (!text.starts_with(scram_prefix)) return malformed();
  text.remove_prefix(scram_prefix.size());
  const auto iterations_text = cut(text, ':');
  const auto salt_text = cut(text, '$');
  const auto stored_text = cut(text, ':');
  if (!iterations_text || !salt_text || !stored_text) return malformed();
  const auto iterations = parse_iterations(*iterations_text);
  auto salt = base64_decoded(*salt_text);
  const auto stored_key = base64_digest(*stored_text);
  const auto server_key = base64_digest(text);
  if (!iterations || !salt || salt->empty() || !stored_key || !server_key) return malformed();
  return ScramVerifier{*iterations, std::move(*salt), *stored_key, *server_key};
}

ScramVerifier ScramVerifier::from_password(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  const Digest salted = salted_password(password, salt, iterations);
  return {.iterations = iterations,
          .salt = std::string(salt),
          .stored_key = sha256(hmac_sha256(salted, "Client Key")),
          .server_key = hmac_sha256(salted, "Server Key")};
}

std::string ScramVerifier::text() const {
  return fmt::format("{}{}:{}${}:{}", scram_prefix, iterations, base64(as_bytes(salt)), base64(stored_key),
                     base64(server_key));
}

StoredSecret parse_secret(std::string_view text) {
  if (text.empty()) return std::monostate{};
  if (is_md5(text)) return Md5Password{std::string(text)};
  if (auto verifier = ScramVerifier::parse(text)) return std::move(*verifier);
  return PlainPassword{std::string(text)};
}

}  // namespace millrace::pgwire
