#include "http/api_keys.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace millrace::http {
namespace {

// SHA-256 of "abc" (FIPS 180-4's example).
const std::string of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::expected<Principal, Response> ask(const ApiKeys& keys, Headers headers) {
  asio::io_context context;
  std::expected<Principal, Response> answer;
  const Authenticate authenticate = by_api_key(keys);
  const Request request{.method = "POST", .raw_target = "/", .target = {}, .headers = std::move(headers)};
  asio::co_spawn(context, authenticate(request),
                 [&answer](std::exception_ptr, std::expected<Principal, Response> got) { answer = std::move(got); });
  context.run();
  return answer;
}

int status(const ApiKeys& keys, Headers headers) {
  const auto answer = ask(keys, std::move(headers));
  return answer ? 200 : answer.error().status;
}

TEST(ApiKeys, HashIsSha256) { EXPECT_EQ(hash_of_api_key("abc"), of_abc); }

TEST(ApiKeys, SplitsTheSetting) {
  EXPECT_TRUE(split_hashes("").empty());
  EXPECT_EQ(split_hashes("AB, cd"), (std::vector<std::string>{"ab", "cd"}));
}

TEST(ApiKeys, LetsInWhoHasOne) {
  for (const bool only_loopback : {true, false}) {
    const ApiKeys keys{.hashes = {hash_of_api_key("other"), of_abc}, .only_loopback = only_loopback};
    EXPECT_EQ(ask(keys, {{"x-api-key", "abc"}})->name, "key:ba7816bf");
    EXPECT_EQ(status(keys, {{"authorization", "Bearer abc"}}), 200);
    EXPECT_EQ(status(keys, {{"authorization", "bearer  other"}}), 200);
    EXPECT_EQ(status(keys, {{"origin", "http://elsewhere"}, {"x-api-key", "abc"}}), 200);
    EXPECT_EQ(status(keys, {{"sec-websocket-protocol", "millrace,  millrace.key.abc"}}), 200);
    EXPECT_EQ(status(keys, {{"sec-websocket-protocol", "millrace, millrace.key.ab"}}), 401);
    EXPECT_EQ(status(keys, {{"sec-websocket-protocol", "millrace, abc"}}), 401);
    for (const char* wrong : {"abcd", "ab", "ABC", of_abc.c_str()}) {
      EXPECT_EQ(status(keys, {{"x-api-key", wrong}}), 401) << wrong;
      EXPECT_EQ(status(keys, {{"authorization", std::string("Bearer ") + wrong}}), 401) << wrong;
    }
    for (const char* other : {"", "Bearer", "Bearer ", "Basic abc", "abc"}) {
      EXPECT_EQ(status(keys, {{"authorization", other}}), 401) << other;
    }
    EXPECT_EQ(status(keys, {}), 401);
    const Headers headers = ask(keys, {}).error().headers;
    EXPECT_EQ(headers, (Headers{{"WWW-Authenticate", "Bearer"}}));
  }
}

TEST(ApiKeys, WithoutHashesOnlyThisMachineMay) {
  EXPECT_EQ(ask({.only_loopback = true}, {})->name, "local");
  EXPECT_EQ(status({.only_loopback = true}, {{"origin", "http://elsewhere"}}), 403);
  // The page that Millrace shows, and others of this machine.
  const Headers page{{"host", "localhost:8642"}, {"origin", "http://localhost:8642"}};
  EXPECT_EQ(status({.only_loopback = true}, page), 200);
  EXPECT_EQ(status({.only_loopback = true}, {{"host", "[::1]:8642"}, {"origin", "https://[::1]:8642"}}), 200);
  for (const char* origin : {"http://localhost:3000", "http://localhost", "null", "localhost:8642",
                             "http://localhost:8642.elsewhere.test", "file://localhost:8642"}) {
    EXPECT_EQ(status({.only_loopback = true}, {{"host", "localhost:8642"}, {"origin", origin}}), 403) << origin;
  }
  EXPECT_EQ(status({.only_loopback = true}, {{"host", "elsewhere.test"}, {"origin", "http://elsewhere.test"}}), 403);
  for (const char* host : {"localhost", "localhost:8642", "127.0.0.1:8642", "127.1.2.3", "[::1]:8642"}) {
    EXPECT_EQ(status({.only_loopback = true}, {{"host", host}}), 200) << host;
  }
  for (const char* host :
       {"elsewhere.test", "127.0.0.1.elsewhere.test", "localhost.elsewhere.test:80", "10.0.0.1", "[::2]"}) {
    EXPECT_EQ(status({.only_loopback = true}, {{"host", host}}), 403) << host;
    EXPECT_EQ(status({.hashes = {of_abc}}, {{"host", host}, {"x-api-key", "abc"}}), 200) << host;
  }
  EXPECT_EQ(status({.only_loopback = false}, {}), 403);
  EXPECT_EQ(status({.only_loopback = false}, {{"x-api-key", "abc"}}), 403);
}

}  // namespace
}  // namespace millrace::http
