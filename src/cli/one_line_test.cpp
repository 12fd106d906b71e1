#include "cli/one_line.hpp"

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

TEST(OneLine, WhatCommandsATerminalIsASpace) {
  EXPECT_EQ(in_one_line("SELECT\n\t1"), "SELECT 1");
  EXPECT_EQ(in_one_line("a\x1b[2Jb\x7f"), "a [2Jb ");
  EXPECT_EQ(in_one_line("a\xc2\x9b"
                        "2Jb\xc2\x80\xc2\x9f"),
            "a 2Jb ");
}

TEST(OneLine, OtherCharactersStay) {
  EXPECT_EQ(in_one_line("\xc2\xa0\xc3\x9b\xe2\x82\xac"), "\xc2\xa0\xc3\x9b\xe2\x82\xac");
  EXPECT_EQ(in_one_line("a\xc2"), "a\xc2") << "cut off within a character";
  EXPECT_EQ(in_one_line(""), "");
}

}  // namespace
}  // namespace millrace::cli
