#include "cli/api_key.hpp"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <array>
#include <cstdio>

#include "cli/exit_code.hpp"
#include "http/api_keys.hpp"

namespace millrace::cli {

int api_key() {
  std::array<unsigned char, 32> random{};
  if (RAND_bytes(random.data(), random.size()) != 1) {
    fmt::print(stderr, "there are no random numbers to be had\n");
    return failed;
  }
  std::string key = "mr_";  // so that a key is known for one where it shouldn't be
  for (const unsigned char byte : random) key += fmt::format("{:02x}", byte);
  fmt::print("key   {}\nhash  {}\n", key, http::hash_of_api_key(key));
  return succeeded;
}

}  // namespace millrace::cli
