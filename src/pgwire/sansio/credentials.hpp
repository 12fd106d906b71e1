#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <variant>

#include "base/result.hpp"

namespace millrace::pgwire {

using Digest = std::array<std::byte, 32>;

/// What a server keeps of a SCRAM-SHA-256 password (RFC 5802, RFC 7677; PostgreSQL's pg_authid.rolpassword text
/// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`).
struct ScramVerifier {
  std::uint32_t iterations = 4096;
  std::string salt;  ///< raw bytes
  Digest stored_key{};
  Digest server_key{};

  static Result<ScramVerifier> parse(std::string_view text);
  /// PBKDF2: about a millisecond of CPU for 4,096 iterations; not for an I/O thread.
  static ScramVerifier from_password(std::string_view password, std::string_view salt, std::uint32_t iterations = 4096);
  std::string text() const;
};

/// What a client needs to log in with SCRAM without the password: learnt from a client's own proof.
struct ScramKeys {
  Digest client_key{};
  Digest server_key{};
};

struct PlainPassword {
  std::string text;
};
struct Md5Password {
  std::string hash;  ///< "md5" and 32 hexadecimal digits, as in pg_authid
};

/// A secret that a user file or an auth_query holds for a user.
using StoredSecret = std::variant<std::monostate, PlainPassword, Md5Password, ScramVerifier>;
/// "SCRAM-SHA-256$…" and "md5…" by their form; anything else is a plain password; empty is none.
StoredSecret parse_secret(std::string_view text);

/// What Millrace can log in to a server with.
using ServerCredential = std::variant<std::monostate, PlainPassword, Md5Password, ScramKeys>;

}  // namespace millrace::pgwire
