#include "catalog/read_snapshot.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "catalog/array_text.hpp"
#include "catalog/role_defaults.hpp"

using namespace millrace;
using namespace millrace::catalog;

namespace {

using Texts = std::vector<std::string>;

TEST(ArrayText, ElementsAreAsTheyWere) {
  EXPECT_EQ(elements_of("{}"), Texts{});
  EXPECT_EQ(elements_of("{a}"), Texts{"a"});
  EXPECT_EQ(elements_of("{1,22,-3}"), (Texts{"1", "22", "-3"}));
  EXPECT_EQ(elements_of(R"({"a b","c,d","e\"f","g\\h","",i})"), (Texts{"a b", "c,d", "e\"f", "g\\h", "", "i"}));
  EXPECT_EQ(elements_of(""), std::nullopt);
  EXPECT_EQ(elements_of("a"), std::nullopt);
  EXPECT_EQ(elements_of("{\"a}"), std::nullopt);
}

std::optional<Defaults> defaults(const RoleDefaults& roles, std::string_view user) {
  SnapshotBuilder builder;
  roles.give(builder);
  return builder.build()->defaults(user);
}

struct RoleDefaultsTest : testing::Test {
  RoleDefaults roles;
  RoleDefaultsTest() {
    roles.role(10, "app");
    roles.role(11, "other");
  }
  std::string path(std::string_view user) const {
    const auto found = defaults(roles, user);
    return found ? found->search_path : "?";
  }
};

TEST_F(RoleDefaultsTest, TheNearestSettingWins) {
  roles.own("search_path", "server", "configuration file");
  roles.own("default_transaction_isolation", "read committed", "default");
  EXPECT_EQ(path("app"), "server");
  roles.set(0, false, "search_path=all");
  EXPECT_EQ(path("app"), "all");
  roles.set(0, true, "search_path=database");
  EXPECT_EQ(path("app"), "database");
  roles.set(10, false, "search_path=role");
  EXPECT_EQ(path("app"), "role");
  roles.set(10, true, "search_path=role, \"in = database\"");
  EXPECT_EQ(path("app"), "role, \"in = database\"");
  EXPECT_EQ(path("other"), "database");
  EXPECT_EQ(path("nobody"), "?");
}

TEST_F(RoleDefaultsTest, WhatMillracesOwnSettingsHideIsNotKnown) {
  roles.own("default_transaction_isolation", "read committed", "default");
  for (const auto* source : {"user", "database user", "database", "global", "client", "session"}) {
    roles.own("search_path", "own", source);
    EXPECT_EQ(path("app"), "?") << source;
  }
  roles.set(10, false, "search_path=a");
  EXPECT_EQ(path("app"), "a");
  EXPECT_EQ(path("other"), "?");
}

TEST_F(RoleDefaultsTest, IsolationIsAsShowSaysIt) {
  roles.own("search_path", "a", "default");
  roles.own("default_transaction_isolation", "read committed", "default");
  roles.set(10, false, "default_transaction_isolation=SERIALIZABLE");
  EXPECT_EQ(defaults(roles, "app")->isolation, "serializable");
  EXPECT_EQ(defaults(roles, "other")->isolation, "read committed");
  roles.not_known();
  EXPECT_FALSE(defaults(roles, "app"));
}

TEST(ReadSnapshot, WhatWasWritten) {
  const auto seen = [](std::optional<std::string> written) {
    return read_seen(std::vector<Row>{{"fingerprint", "1:1:", "noon", "5", std::move(written)}});
  };
  EXPECT_EQ(seen({})->written, std::vector<Written>{});
  EXPECT_EQ(seen("")->written, std::vector<Written>{});
  EXPECT_EQ(seen("20001:4294967295 20000:7")->written, (std::vector<Written>{{20000, 7}, {20001, 4294967295}}));
  for (const std::string odd : {"x", "20000", "20000:", "20000:7,", "20000:7 x", ":7", "20000:99999999999"})
    EXPECT_FALSE(seen(odd)) << odd;
}

TEST(ReadSnapshot, NewSessionsBeginOtherwiseWhereTheirDefaultsDo) {
  const auto defaults = [](std::vector<Row> rows) {
    rows.insert(rows.begin(), {"fingerprint", "1:1:", "noon", "5", {}});
    return read_snapshot(rows, 1)->snapshot->session_defaults;
  };
  const Row path{"setting", "search_path", "public", "default"}, other_path{"setting", "search_path", "a", "default"};
  const Row of_database{"setting", "search_path", "b", "database"};
  const Row ada{"role_settings", "ada", "f", "1234"}, other_ada{"role_settings", "ada", "f", "5678"};
  const Row limits{"role_settings", "ada", "t", "1"}, all{"role_settings", "", "f", "9"};
  const auto differ = [&](std::vector<Row> before, std::vector<Row> now) {
    std::string they;
    for (const auto& [user, answers] : who_begins_otherwise(defaults(std::move(before)), defaults(std::move(now))))
      they += fmt::format("{}{} ", user.empty() ? "all" : user, answers ? "" : "'s limits");
    return they;
  };
  EXPECT_EQ(differ({path, ada, path}, {path, ada}), "") << "read with views, which is asked by itself";
  EXPECT_EQ(differ({path, ada}, {other_path, ada}), "all ");
  EXPECT_EQ(differ({of_database, ada}, {path, ada}), "") << "only Millrace's own session has changed";
  EXPECT_EQ(differ({path, ada}, {path, other_ada}), "ada ");
  EXPECT_EQ(differ({path, ada}, {path}), "ada ");
  EXPECT_EQ(differ({path}, {path, limits}), "ada's limits ");
  EXPECT_EQ(differ({path, ada, limits}, {path, all, limits}), "all ada ");
}

TEST(ReadSnapshot, KeysAreNamesOfColumns) {
  const std::vector<Row> rows{
      {"fingerprint", "1:1:", "noon", "5", {}},
      {"relation", "20000", "public", "t", "r", "p", "t", "f", "t", "f", "{1,3,4}", R"({a,"c d",e})", "{23,25,20}",
       "{t,f,f}", "{0,100,0}", "{-1,20,-1}"},
      {"relation", "20001", "public", "empty", "r", "u", "f", "d", "f", "t", {}, {}, {}, {}, {}},
      {"operator", "=", "i", "f", "t", "f", "t"},
      {"key", "20000", "4 1 3", "2"},
      {"key", "20000", "2", "1"},
      {"key", "1", "1", "1"},
      {"cascade", "20000", "20001"},
      {"inherits", "20001", "20000"},
      {"unsafe_cast"},
      {"own_cast"}};
  const auto reading = read_snapshot(rows, 7);
  ASSERT_TRUE(reading);
  const auto& snapshot = *reading->snapshot;
  EXPECT_EQ(snapshot.version, 7);
  EXPECT_TRUE(snapshot.has_unsafe_casts);
  EXPECT_TRUE(snapshot.has_own_casts);
  const auto* t = snapshot.find("public", "t");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->keys, (std::vector<Texts>{{"e", "a"}}));
  EXPECT_TRUE(t->row_security);
  EXPECT_TRUE(t->has_rules);
  EXPECT_FALSE(t->has_triggers);
  EXPECT_EQ(t->replica_identity, 'f');
  EXPECT_EQ(t->columns[1].name, "c d");
  EXPECT_EQ(t->columns[1].type, 25);
  EXPECT_EQ(t->columns[1].collation, 100);
  EXPECT_TRUE(t->columns[1].has_modifier);
  EXPECT_FALSE(t->columns[0].has_modifier);
  EXPECT_TRUE(t->columns[0].not_null);
  EXPECT_TRUE(snapshot.operators("=")->apart);
  EXPECT_EQ(t->children, std::vector<Oid>{20001});
  EXPECT_EQ(t->cascades, std::vector<Oid>{20001});
  EXPECT_EQ(snapshot.find(20001)->persistence, 'u');
  EXPECT_TRUE(snapshot.find(20001)->columns.empty());
}

TEST(ReadSnapshot, NeedsAFingerprint) {
  EXPECT_FALSE(read_snapshot(std::vector<Row>{{"server", "15"}}, 1));
  EXPECT_FALSE(read_snapshot(fail("gone"), 1));
  EXPECT_FALSE(read_seen(std::vector<Row>{}));
}

}  // namespace
