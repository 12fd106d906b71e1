#include "pgwire/sansio/credentials.hpp"

#include <gtest/gtest.h>

#include "pgwire/protocol/reader.hpp"
#include "pgwire/sansio/crypto.hpp"
#include "pgwire/sansio/saslprep.hpp"

namespace millrace::pgwire {
namespace {

// Made by PostgreSQL 15: CREATE ROLE ... PASSWORD 'secret'.
constexpr std::string_view of_secret =
    "SCRAM-SHA-256$4096:0VjkoA3ehI9PJpD6+OIb2Q==$+iTy4NtW6ckIVqqa6sCV7w7THA/"
    "SJ2UMK0pyYWgpz3w=:skcQRhu147dKUk8lA3hEWxyguYbQcssfRe0Ppjwhg/U=";

TEST(Credentials, ReadAndWritePostgreSqlsVerifier) {
  const auto verifier = ScramVerifier::parse(of_secret);
  ASSERT_TRUE(verifier.has_value());
  EXPECT_EQ(verifier->iterations, 4096U);
  EXPECT_EQ(verifier->salt.size(), 16U);
  EXPECT_EQ(verifier->text(), of_secret);
  EXPECT_EQ(ScramVerifier::from_password("secret", verifier->salt).text(), of_secret);
  EXPECT_NE(ScramVerifier::from_password("Secret", verifier->salt).text(), of_secret);
}

TEST(Credentials, RefuseWhatIsNoVerifier) {
  const std::string good(of_secret);
  EXPECT_FALSE(ScramVerifier::parse(good.substr(0, good.size() - 1)));
  EXPECT_FALSE(ScramVerifier::parse(good + "A"));
  EXPECT_FALSE(ScramVerifier::parse("SCRAM-SHA-1$" + good.substr(14)));
  for (const std::string iterations : {"0", "-1", "", "4096x", "2147483648"}) {
    EXPECT_FALSE(ScramVerifier::parse("SCRAM-SHA-256$" + iterations + good.substr(good.find(':')))) << iterations;
  }
}

TEST(Credentials, TellSecretsByTheirForm) {
  EXPECT_TRUE(std::holds_alternative<std::monostate>(parse_secret("")));
  EXPECT_TRUE(std::holds_alternative<ScramVerifier>(parse_secret(of_secret)));
  EXPECT_TRUE(std::holds_alternative<Md5Password>(parse_secret("md5" + std::string(32, 'a'))));
  for (const std::string plain : {"secret", "md5", "SCRAM-SHA-256$4096:x"}) {
    EXPECT_TRUE(std::holds_alternative<PlainPassword>(parse_secret(plain)));
  }
  EXPECT_TRUE(std::holds_alternative<PlainPassword>(parse_secret("md5" + std::string(32, 'A'))));
  EXPECT_TRUE(std::holds_alternative<PlainPassword>(parse_secret("md5" + std::string(33, 'a'))));
}

TEST(Base64, TakesOnlyTheOneRightForm) {
  for (const std::string_view text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
    EXPECT_EQ(base64_decoded(base64(as_bytes(text))), text);
  }
  EXPECT_EQ(base64(as_bytes("fooba")), "Zm9vYmE=");
  for (const std::string_view bad :
       {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zg==Zg==", " Zg==", "Zg==\n", "Zm9-", "====", "=Zg=", "Z==="}) {
    EXPECT_EQ(base64_decoded(bad), std::nullopt) << bad;
  }
}

// The examples of RFC 4013, and where PostgreSQL takes a password as it is.
TEST(Saslprep, PreparesOrLeavesAlone) {
  const std::pair<std::string_view, std::string_view> cases[] = {{"I\u00adX", "IX"},
                                                                 {"user", "user"},
                                                                 {"USER", "USER"},
                                                                 {"\u00aa", "a"},
                                                                 {"\u2168", "IX"},
                                                                 {"a\u00a0b", "a b"},
                                                                 {"\u00adsecret", "secret"},
                                                                 {"\a\u00e9", "\a\u00e9"},
                                                                 {"\u0627"
                                                                  "1",
                                                                  "\u0627"
                                                                  "1"},
                                                                 {"\xff", "\xff"},
                                                                 {"\u00ad", "\u00ad"},
                                                                 {"\a", "\a"},
                                                                 {"\u0221", "\u0221"},
                                                                 {"e\u0301", "\u00e9"},
                                                                 {"", ""}};
  for (const auto& [password, prepared] : cases) EXPECT_EQ(saslprep(password), prepared) << password;
}

}  // namespace
}  // namespace millrace::pgwire
