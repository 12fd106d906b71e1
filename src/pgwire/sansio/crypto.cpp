#include "pgwire/sansio/crypto.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <cstdlib>

#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/saslprep.hpp"

namespace millrace::pgwire {
namespace {

const unsigned char* data_of(Bytes bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* data_of(Digest& digest) { return reinterpret_cast<unsigned char*>(digest.data()); }

// These fail only without memory, or without any source of randomness: nothing safe can follow.
void require(bool done) {
  if (!done) std::abort();
}

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t no_digit = 0xff;
constexpr auto digit_values = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(no_digit);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return values;
}();

}  // namespace

Digest sha256(Bytes data) {
  Digest digest;
  require(EVP_Digest(data.data(), data.size(), data_of(digest), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

Digest hmac_sha256(Bytes key, std::string_view data) {
  Digest digest;
  unsigned int length = 0;
  require(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data_of(as_bytes(data)), data.size(),
               data_of(digest), &length) != nullptr);
  return digest;
}

Digest exclusive_or(const Digest& a, const Digest& b) {
  Digest result;
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = a[i] ^ b[i];
  return result;
}

Digest salted_password(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  std::string prepared = saslprep(password);
  Digest digest;
  require(PKCS5_PBKDF2_HMAC(prepared.data(), static_cast<int>(prepared.size()), data_of(as_bytes(salt)),
                            static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
                            static_cast<int>(digest.size()), data_of(digest)) == 1);
  OPENSSL_cleanse(prepared.data(), prepared.size());
  return digest;
}

bool equal_in_constant_time(Bytes a, Bytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  require(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) == 1);
  return bytes;
}

std::optional<std::string> md5_hex(std::string_view data) {
  std::array<unsigned char, 16> digest{};
  if (EVP_Digest(data.data(), data.size(), digest.data(), nullptr, EVP_md5(), nullptr) != 1) return std::nullopt;
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += digits[byte >> 4];
    hex += digits[byte & 0xf];
  }
  return hex;
}

std::string base64(Bytes data) {
  std::string text((data.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL adds a NUL
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), data_of(data), static_cast<int>(data.size()));
  text.pop_back();
  return text;
}

std::optional<std::string> base64_decoded(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && !text.empty() && text.back() == '=') {
    text.remove_suffix(1);
    ++padding;
  }
  std::string data;
  data.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const std::uint8_t value = digit_values[static_cast<unsigned char>(c)];
    if (value == no_digit) return std::nullopt;
    bits = bits << 6 | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      data += static_cast<char>(bits >> held & 0xff);
    }
  }
  const bool stray_bits = (bits & ((1U << held) - 1)) != 0;
  if (stray_bits) return std::nullopt;
  return data;
}

std::optional<Digest> base64_digest(std::string_view text) {
  const auto data = base64_decoded(text);
  Digest digest;
  if (!data || data->size() != digest.size()) return std::nullopt;
  std::memcpy(digest.data(), data->data(), digest.size());
  return digest;
}

}  // namespace millrace::pgwire
