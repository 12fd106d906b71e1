#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pgwire/protocol/frame.hpp"
#include "pgwire/sansio/credentials.hpp"

/// The few cryptographic operations that log-in needs, over OpenSSL.
namespace millrace::pgwire {

Digest sha256(Bytes data);
Digest hmac_sha256(Bytes key, std::string_view data);
Digest exclusive_or(const Digest& a, const Digest& b);

/// PBKDF2 over the prepared (SASLprep) password. `iterations` decides how long it takes: a millisecond for 4,096.
Digest salted_password(std::string_view password, std::string_view salt, std::uint32_t iterations);

/// Compares without telling by its duration where two texts differ; their lengths are no secret.
bool equal_in_constant_time(Bytes a, Bytes b);

std::string random_bytes(std::size_t count);

/// 32 hexadecimal digits; nullopt where the system's policy forbids MD5.
std::optional<std::string> md5_hex(std::string_view data);

std::string base64(Bytes data);
/// Strict: no white space, full padding, no stray bits. nullopt for anything else.
std::optional<std::string> base64_decoded(std::string_view text);
/// The same for exactly 32 bytes.
std::optional<Digest> base64_digest(std::string_view text);

}  // namespace millrace::pgwire
