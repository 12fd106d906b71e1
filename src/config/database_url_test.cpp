#include "config/database_url.hpp"

#include <gtest/gtest.h>

namespace millrace::config {
namespace {

DatabaseUrl parsed(std::string_view text) {
  const auto url = parse_database_url(text);
  EXPECT_TRUE(url) << text << ": " << (url ? "" : url.error().message);
  return url.value_or(DatabaseUrl{});
}

TEST(DatabaseUrl, AllParts) {
  EXPECT_EQ(parsed("postgresql://app:p%40ss@db.example.com:5433/shop?sslmode=verify-ca&sslrootcert=/etc/ca.pem"),
            (DatabaseUrl{.host = "db.example.com",
                         .port = 5433,
                         .user = "app",
                         .password = "p@ss",
                         .database = "shop",
                         .sslmode = ServerTlsMode::verify_ca,
                         .sslrootcert = "/etc/ca.pem"}));
}

TEST(DatabaseUrl, WhatIsMissingHasADefault) {
  EXPECT_EQ(parsed("postgresql://"), DatabaseUrl{});
  EXPECT_EQ(parsed("postgres://localhost"), DatabaseUrl{.host = "localhost"});
  EXPECT_EQ(parsed("postgresql://localhost/"), DatabaseUrl{.host = "localhost"});
  EXPECT_EQ(parsed("postgresql://app@:5433"), (DatabaseUrl{.port = 5433, .user = "app"}));
}

TEST(DatabaseUrl, Addresses) {
  EXPECT_EQ(parsed("postgresql://[::1]:5433/d"), (DatabaseUrl{.host = "::1", .port = 5433, .database = "d"}));
  EXPECT_EQ(parsed("postgresql://10.0.0.1/d"), (DatabaseUrl{.host = "10.0.0.1", .database = "d"}));
}

TEST(DatabaseUrl, UnixSockets) {
  const DatabaseUrl expected{.host = "/var/run/postgresql", .database = "shop"};
  EXPECT_EQ(parsed("postgresql:///shop?host=/var/run/postgresql"), expected);
  EXPECT_EQ(parsed("postgresql://%2Fvar%2Frun%2Fpostgresql/shop"), expected);
}

TEST(DatabaseUrl, WhatCannotBe) {
  for (const char* bad : {"",
                          "localhost:5432",
                          "postgresql:/x",
                          "http://localhost/",
                          "postgresql://h:0/",
                          "postgresql://h:x/",
                          "postgresql://h/d#f",
                          "postgresql://h/d?sslmode=on",
                          "postgresql://h/d?application_name=x",
                          "postgresql://h/d?host=",
                          "postgresql://a,/d",
                          "postgresql://,b/d",
                          "postgresql://a:1,b:0/d",
                          "postgresql://a:1x,b/d",
                          "postgresql://a,b/d?host=c,d",
                          "postgresql://a,b/d?host=c",
                          "postgresql://a,b/d?port=6432",
                          "postgresql://app:12,s/x@db/shop",
                          "postgresql://u@a,v@b/d?port=1,2,3",
                          "postgresql://h/d?host=a,,b",
                          "postgresql://h/d?host=a,b,c&port=1,2",
                          "postgresql://h/d?port=1,2",
                          "postgresql://h/d?target_session_attrs=standby",
                          "postgresql://a,b/d/e,f:x,/?x=y"}) {
    EXPECT_FALSE(parse_database_url(bad)) << bad;
  }
  EXPECT_FALSE(parse_database_url("postgresql://a" + [] {
    std::string more;
    for (int i = 0; i < 16; ++i) more += ",a";
    return more;
  }()));
}

TEST(DatabaseUrl, SeveralHosts) {
  const DatabaseUrl expected{.host = "a",
                             .port = 5433,
                             .more_hosts = {{.host = "::1", .port = 5432}, {.host = "10.0.0.3", .port = 6543}},
                             .target = TargetSessionAttrs::read_write,
                             .user = "u@v",
                             .password = "p,/@",
                             .database = "d,e"};
  EXPECT_EQ(parsed("postgresql://u%40v:p,%2F%40@a:5433,[::1],10.0.0.3:6543/d,e?target_session_attrs=read-write"),
            expected);
  EXPECT_EQ(parsed("postgresql://u%40v:p,%2F%40@/d,e?port=5433,5432,6543&host=a,::1,10.0.0.3&"
                   "target_session_attrs=read-write"),
            expected);
  EXPECT_EQ(expected.hosts(), (std::vector<ServerHost>{{"a", 5433}, {"::1", 5432}, {"10.0.0.3", 6543}}));
  EXPECT_EQ(DatabaseUrl{}.hosts(), (std::vector<ServerHost>{{"127.0.0.1", 5432}}));
  EXPECT_EQ(
      parsed("postgresql:///d?host=/run/a,/run/b&port=6000"),
      (DatabaseUrl{.host = "/run/a", .port = 6000, .more_hosts = {{.host = "/run/b", .port = 6000}}, .database = "d"}));
}

TEST(DatabaseUrl, AsDriversHaveThem) {
  const DatabaseUrl expected{.host = "h", .user = "u", .password = "p", .database = "d"};
  for (const char* scheme : {"postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgres+pg8000"}) {
    EXPECT_EQ(parsed(std::string(scheme) + "://u:p@h/d"), expected) << scheme;
  }
  for (const char* bad : {"mysql+asyncpg://h/d", "postgresqlx://h/d", "+postgresql://h/d", "my+postgresql://h/d"}) {
    EXPECT_FALSE(parse_database_url(bad)) << bad;
  }
  EXPECT_EQ(parsed("postgresql+asyncpg://h/d?ssl=require").sslmode, ServerTlsMode::require);
}

TEST(DatabaseUrl, WhatIsForOtherProgramsMayBeLeftOut) {
  std::vector<std::string> left_out;
  const auto url = parse_database_url("postgres://h/d?schema=public&sslmode=allow&pgbouncer=true&user=u", &left_out);
  ASSERT_TRUE(url);
  EXPECT_EQ(*url, (DatabaseUrl{.host = "h", .user = "u", .database = "d"}));
  EXPECT_EQ(left_out, (std::vector<std::string>{"schema", "sslmode", "pgbouncer"}));
  EXPECT_FALSE(parse_database_url("postgres://h/d?port=x", &left_out));
}

TEST(DatabaseUrl, WrittenAndReadAgain) {
  for (const DatabaseUrl& url :
       {DatabaseUrl{},
        DatabaseUrl{.host = "h", .user = "a@b:c/d", .password = "p@:/?#%[]&= \"\\\x01ä", .database = "x y/z?"},
        DatabaseUrl{.host = "a",
                    .port = 1,
                    .more_hosts = {{.host = "/run/p g", .port = 2}, {.host = "::1", .port = 3}},
                    .target = TargetSessionAttrs::primary,
                    .user = "u",
                    .password = ",",
                    .database = ","},
        DatabaseUrl{.host = "/run/p g", .port = 5433, .password = "***", .database = "d"},
        DatabaseUrl{.host = "::1", .sslmode = ServerTlsMode::verify_full, .sslrootcert = "/a&b"}}) {
    EXPECT_EQ(parsed(with_password(url)), url) << with_password(url);
  }
}

TEST(DatabaseUrl, PrintedAgainWithoutThePassword) {
  for (const char* same : {"postgresql://127.0.0.1:5432/postgres", "postgresql://app@[::1]:5433/d%20b",
                           "postgresql:///shop?host=/run/pg&port=5433", "postgresql://app@/shop?host=/run/pg",
                           "postgresql://h:5432/d?sslmode=verify-full&sslrootcert=/ca"}) {
    EXPECT_EQ(masked(parsed(same)), same);
  }
  EXPECT_EQ(masked(parsed("postgresql://app:secret@h:5432/d")), "postgresql://app:***@h:5432/d");
}

}  // namespace
}  // namespace millrace::config
