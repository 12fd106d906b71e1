#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/router.hpp"

namespace millrace::http {

/// Who may do what isn't open to everybody.
struct ApiKeys {
  std::vector<std::string> hashes = {};  ///< of the keys that are let in: SHA-256 in hexadecimal, any case
  bool only_loopback = true;             ///< nobody from another machine reaches the port
};

/// A list as the setting has it: hashes with commas between them, and spaces.
std::vector<std::string> split_hashes(std::string_view text);

/// SHA-256 in lower-case hexadecimal.
std::string hash_of_api_key(std::string_view key);

/// Lets pass who has a key, in X-API-Key, as a bearer token or, for a WebSocket, as the subprotocol millrace.key.KEY;
/// his name is "key:" and the first 8 digits of its hash.
/// 401 for who has none, or one that isn't known. Without hashes: everybody, named "local", if the port is reached from
/// this machine only, by its own name (Host), and it isn't a web page of another origin that asks, else 403.
Authenticate by_api_key(ApiKeys keys);

}  // namespace millrace::http
