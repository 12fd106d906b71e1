#include "pipeline/kept_text.hpp"

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

using sql::StatementKind;

bool is_kept(std::string_view text) { return constants_may_be_kept(sql::parse(text)->kind, text); }

TEST(KeptText, ConstantsOfRowsAreKept) {
  for (const char* text :
       {"SELECT 1 WHERE 'x' = $1", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t WHERE a = 1",
        "COPY t FROM STDIN", "EXECUTE p(1)", "CALL p(1)", "EXPLAIN SELECT 1", "SHOW a", "BEGIN",
        "PREPARE p AS SELECT 1", "DECLARE c CURSOR FOR SELECT 1"})
    EXPECT_TRUE(is_kept(text)) << text;
}

TEST(KeptText, WhatMayBeAPasswordIsNot) {
  for (const char* text : {"ALTER ROLE a PASSWORD 'hush'", "CREATE USER a PASSWORD 'hush'",
                           "CREATE SUBSCRIPTION s CONNECTION 'host=h password=hush' PUBLICATION p",
                           "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password 'hush')",
                           "SELECT 1; ALTER ROLE a PASSWORD 'hush'", "DO $$ BEGIN PERFORM 'hush'; END $$",
                           "SET my.token = 'hush'", "NOTIFY a, 'hush'", "SELECT dblink_connect('host=h user=hush')",
                           "SELECT * FROM DBLink('hush', 'SELECT 1') AS t(a int)", "UPDATE users SET Password = 'hush'",
                           "SELECT pgp_sym_decrypt(a, 'hush') FROM t", "COPY t FROM PROGRAM 'curl -u me:hush h'"}) {
    EXPECT_FALSE(is_kept(text)) << text;
    const std::string kept = without_constants(sql::parse(text)->kind, text, false);
    EXPECT_FALSE(kept.contains("hush")) << kept;
    EXPECT_GT(kept.size(), 3) << kept;
  }
}

TEST(KeptText, OfWhatNobodyUnderstandsNothingIsKept) {
  const std::string text = "ALTER ROLE a PASWORD hush";
  ASSERT_EQ(sql::parse(text)->kind, StatementKind::unparsed);
  EXPECT_FALSE(is_kept(text));
  EXPECT_EQ(without_constants(StatementKind::unparsed, text, true), "(not parsed)");
  EXPECT_EQ(without_constants(StatementKind::unparsed, "INSERT INTO t VALUES ('hush'), ('hush", false),
            "INSERT INTO t VALUES (?), (...");
}

}  // namespace
}  // namespace millrace::pipeline
