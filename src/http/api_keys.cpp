#include "http/api_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <cctype>

#include "http/problem.hpp"
#include "http/websocket.hpp"

namespace millrace::http {
namespace {

constexpr std::size_t name_digits = 8;

/// A page can't give a WebSocket's request headers, but subprotocols.
constexpr std::string_view key_protocol = "millrace.key.";

std::string_view key_in(const Request& request) {
  if (const std::string_view key = request.header("x-api-key"); !key.empty()) return key;
  if (const auto offered = offered_protocol(request.header("sec-websocket-protocol"),
                                            [](std::string_view one) { return one.starts_with(key_protocol); })) {
    return offered->substr(key_protocol.size());
  }
  std::string_view value = request.header("authorization");
  constexpr std::string_view scheme = "bearer ";
  if (value.size() <= scheme.size()) return {};
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(value[i])) != scheme[i]) return {};
  }
  value.remove_prefix(value.find_first_not_of(' ', scheme.size() - 1));
  return value;
}

/// Whether the name that the request was sent to is this machine's own. A web page elsewhere can have its own name
/// stand for 127.0.0.1, and then ask as it likes; it can't change the name.
bool is_to_loopback(const Request& request) {
  std::string_view host = request.header("host");
  if (host.empty()) return true;
  if (host.starts_with('[')) return host.starts_with("[::1]");
  host = host.substr(0, host.find(':'));
  boost::system::error_code error;
  const auto address = asio::ip::make_address_v4(host, error);
  return error ? host == "localhost" : address.is_loopback();
}

/// Whether it is no web page that asks, or the one that this server itself shows: its origin is what the request was
/// sent to.
bool is_of_own_origin(const Request& request) {
  std::string_view origin = request.header("origin");
  if (origin.empty()) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return origin.substr(scheme.size()) == request.header("host");
  }
  return false;
}

/// Takes as long whichever it is, and whether it is one.
bool is_one_of(const std::vector<std::string>& hashes, const std::string& hash) {
  bool found = false;
  for (const std::string& one : hashes) {
    found |= one.size() == hash.size() && CRYPTO_memcmp(one.data(), hash.data(), hash.size()) == 0;
  }
  return found;
}

std::expected<Principal, Response> decide(const ApiKeys& keys, const Request& request) {
  if (keys.hashes.empty()) {
    if (!keys.only_loopback) {
      return std::unexpected(problem(403,
                                     "this needs an API key, and none is set up: make one with 'millrace api-key', "
                                     "and give its hash to the setting API_KEY_HASHES"));
    }
    if (!is_of_own_origin(request) || !is_to_loopback(request)) {
      return std::unexpected(
          problem(403,
                  "a web page of elsewhere, or who asks by another name than this machine's own, may do this "
                  "with an API key only, and none is set up"));
    }
    return Principal{"local"};
  }
  const std::string_view key = key_in(request);
  if (key.empty()) {
    return std::unexpected(
        unauthorized("this needs an API key, as X-API-Key: KEY or Authorization: Bearer KEY", "Bearer"));
  }
  const std::string hash = hash_of_api_key(key);
  if (!is_one_of(keys.hashes, hash)) {
    return std::unexpected(unauthorized("this API key is not known here", R"(Bearer error="invalid_token")"));
  }
  return Principal{"key:" + hash.substr(0, name_digits)};
}

asio::awaitable<std::expected<Principal, Response>> ready(std::expected<Principal, Response> decided) {
  co_return decided;
}

}  // namespace

std::vector<std::string> split_hashes(std::string_view text) {
  std::vector<std::string> hashes(1);
  for (const char c : text) {
    if (c == ',') {
      hashes.emplace_back();
    } else if (c != ' ') {
      hashes.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  std::erase(hashes, "");
  return hashes;
}

std::string hash_of_api_key(std::string_view key) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  std::string hash;
  for (const unsigned char byte : digest) {
    hash += "0123456789abcdef"[byte >> 4];
    hash += "0123456789abcdef"[byte & 15];
  }
  return hash;
}

Authenticate by_api_key(ApiKeys keys) {
  return [keys = std::move(keys)](const Request& request) { return ready(decide(keys, request)); };
}

}  // namespace millrace::http
