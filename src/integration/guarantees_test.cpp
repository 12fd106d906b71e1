#include "integration/guarantees.hpp"

#include <gtest/gtest.h>

namespace millrace::integration {
namespace {

using enum CheckStatus;
using Kind = TableProblem::Kind;

/// Nothing is missing.
Seen good() {
  return {.server = {.version = 150013,
                     .version_name = "15.13",
                     .wal_level = "logical",
                     .may_replicate = true,
                     .may_publish = true,
                     .kept_log_mb = 4096,
                     .slots = 1,
                     .most_slots = 10,
                     .senders = 1,
                     .most_senders = 10,
                     .user = "app",
                     .database = "shop",
                     .isolation = "read committed"},
          .publications = {.exist = true, .owned = true, .usable = true},
          .tables = {.all = 7, .readable = 7, .tellable = 7},
          .replication_refused = ""};
}

const Check* find(const Judgement& judged, std::string_view name) {
  const auto found = std::ranges::find(judged.checks, name, &Check::name);
  return found == judged.checks.end() ? nullptr : &*found;
}

/// The status of the only check that isn't ok, with its statements.
std::string odd(const Judgement& judged) {
  std::string out;
  for (const auto& check : judged.checks) {
    if (check.status == ok) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : "; ", check.status == missing ? "missing" : "warning", check.name);
    for (const auto& remedy : check.remedies) out += fmt::format(" [{}]", remedy.statement);
  }
  return out;
}

std::string levels(const Judgement& judged) {
  std::string out;
  for (const auto& one : judged.guarantees) {
    out += fmt::format("{}{} {} {}", out.empty() ? "" : ", ", one.level, one.can_be_met ? "yes" : "no", one.tables);
  }
  return out;
}

TEST(Guarantees, AllOfThemWhereNothingIsMissing) {
  const auto judged = judge(good(), {});
  EXPECT_EQ(odd(judged), "");
  EXPECT_TRUE(judged.all_met);
  EXPECT_EQ(levels(judged), "eventual yes 7, bounded yes 7, session yes 7, read_after_write yes 7, strong yes 7");
}

TEST(Guarantees, WhatBarsTheStreamLeavesTheLevelsThatDontTakeIt) {
  struct Case {
    void (*spoil)(Seen&);
    std::string_view odd;
  };
  for (const auto& [spoil, expected] : std::initializer_list<Case>{
           {[](Seen& s) { s.server.version = 130020; }, "missing server version"},
           {[](Seen& s) { s.server.is_standby = true; }, "missing primary"},
           {[](Seen& s) { s.server.wal_level = "replica"; },
            "missing wal_level [ALTER SYSTEM SET wal_level = logical]"},
           {[](Seen& s) { s.server.slots = 10; },
            "missing replication slots [ALTER SYSTEM SET max_replication_slots = 15]"},
           {[](Seen& s) { s.server.senders = s.server.most_senders = 0; },
            "missing WAL senders [ALTER SYSTEM SET max_wal_senders = 10]"},
           {[](Seen& s) { s.server.may_replicate = false; }, "missing REPLICATION [ALTER ROLE app REPLICATION]"},
           {[](Seen& s) { s.replication_refused = "no entry"; }, "missing replication connection"},
           {[](Seen& s) { s.server.may_publish = false; },
            "missing publications [GRANT CREATE ON DATABASE shop TO app]"},
           {[](Seen& s) { s.publications.usable = false; },
            "missing publications [DROP PUBLICATION IF EXISTS millrace_changes, millrace_inserts]"},
           {[](Seen& s) { s.server.standby_names = "*"; }, "missing synchronous standbys"},
           {[](Seen& s) {
              s.server.standby_names = "FIRST 1 (*)";
              s.server.standbys = "one, \"it's\"";
            },
            "missing synchronous standbys [ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (one, \"it''s\")']"},
           {[](Seen& s) {
              s.server.standby_names = "a, millrace";
              s.server.standbys = "one";
            },
            "missing synchronous standbys"},
       }) {
    auto seen = good();
    spoil(seen);
    const auto judged = judge(seen, {});
    EXPECT_EQ(odd(judged), expected);
    EXPECT_FALSE(judged.all_met) << expected;
    EXPECT_EQ(levels(judged), "eventual yes 7, bounded yes 7, session no 0, read_after_write no 0, strong no 0");
    for (const auto& one : judged.guarantees) {
      if (one.level == "strong") EXPECT_TRUE(one.meaning.starts_with("not without: ")) << one.meaning;
    }
    const auto without = judge(seen, {.needs_stream = false});
    EXPECT_TRUE(without.all_met) << expected;
    EXPECT_EQ(odd(without), "warning" + std::string(expected).substr(std::string("missing").size()));
  }
}

TEST(Guarantees, MillracesOwnSettingsMayBarTheStream) {
  const auto judged = judge(good(), {.stream_enabled = false});
  EXPECT_EQ(odd(judged), "missing ENABLE_CHANGE_STREAM");
  EXPECT_EQ(levels(judged), "eventual yes 7, bounded yes 7, session no 0, read_after_write no 0, strong no 0");
}

TEST(Guarantees, WhatIsInUseByAMillraceIsNotMissing) {
  auto seen = good();
  seen.server.own_slots = 1;
  seen.server.slots = seen.server.senders = 10;
  EXPECT_EQ(odd(judge(seen, {})), "");
}

TEST(Guarantees, WhatOnlyDeservesAWord) {
  struct Case {
    void (*spoil)(Seen&);
    std::string_view odd;
  };
  for (const auto& [spoil, expected] : std::initializer_list<Case>{
           {[](Seen& s) { s.server.version = 150012; }, "warning server version"},
           {[](Seen& s) { s.server.kept_log_mb = -1; },
            "warning max_slot_wal_keep_size [ALTER SYSTEM SET max_slot_wal_keep_size = '4GB']"},
           {[](Seen& s) { s.server.isolation = "serializable"; },
            "warning default isolation [ALTER SYSTEM SET default_transaction_isolation = 'read committed']"},
           {[](Seen& s) {
              s.server.isolation = "repeatable read";
              s.isolation = {{"ROLE app", "repeatable read"}, {"DATABASE shop", "serializable"}};
            },
            "warning default isolation [ALTER ROLE app RESET default_transaction_isolation] "
            "[ALTER DATABASE shop RESET default_transaction_isolation]"},
       }) {
    auto seen = good();
    spoil(seen);
    const auto judged = judge(seen, {});
    EXPECT_EQ(odd(judged), expected);
    EXPECT_TRUE(judged.all_met) << expected;
  }
}

TEST(Guarantees, TablesThatCantBeFollowed) {
  auto seen = good();
  seen.tables = {.all = 12, .readable = 11, .tellable = 5};
  seen.problems = {
      {.kind = Kind::not_owned, .all = 5, .number = 4, .tables = "a, b, c, ...", .remedy = "GRANT x TO app"},
      {.kind = Kind::not_owned, .all = 5, .number = 1, .tables = "e", .remedy = "GRANT p TO app", .of_superuser = true},
      {.kind = Kind::no_identity, .all = 1, .number = 1, .tables = "f", .remedy = "ALTER f"},
      {.kind = Kind::row_security, .all = 1, .number = 1, .tables = "g"},
  };
  const auto judged = judge(seen, {});
  EXPECT_EQ(odd(judged),
            "missing table owners [GRANT x TO app] [GRANT p TO app]; missing replica identities [ALTER f]; "
            "warning row security");
  EXPECT_EQ(levels(judged), "eventual yes 11, bounded yes 11, session no 5, read_after_write no 5, strong no 5");
  EXPECT_TRUE(find(judged, "table owners")->meaning.contains("5 tables (a, b, c, ..., e); an owner is a superuser"));
  EXPECT_TRUE(find(judged, "replica identities")->meaning.ends_with(": 1 table (f)"));
  EXPECT_FALSE(judged.all_met);
  EXPECT_TRUE(judge(seen, {.needs_stream = false}).all_met);
}

TEST(Guarantees, AFewTablesAreNamed) {
  auto seen = good();
  seen.tables.tellable = 3;
  for (const auto* name : {"a", "b", "c", "d"}) {
    seen.problems.push_back(
        {.kind = Kind::no_identity, .all = 4, .number = 1, .tables = name, .remedy = std::string("ALTER ") + name});
  }
  const auto judged = judge(seen, {});
  EXPECT_TRUE(find(judged, "replica identities")->meaning.ends_with(": 4 tables (a, b, c, ...)"));
  EXPECT_EQ(find(judged, "replica identities")->remedies.size(), 4u);
}

}  // namespace
}  // namespace millrace::integration
