#include "cli/forget_constants.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

using namespace millrace;
namespace fs = std::filesystem;

namespace {

TEST(ForgetConstants, OnlyWhatHoldsSomeAndNobodyOpens) {
  const fs::path folder = fs::path(testing::TempDir()) / "forget_constants_test";
  fs::remove_all(folder);
  fs::create_directories(folder / "store" / "millrace.duckdb.unreadable.folder" / "inner");
  for (const auto* name : {"rewrites.json", "rewrites.json.unreadable", "rewrites.json.unreadable.1", "alerts.json",
                           "store/millrace.duckdb", "store/millrace.duckdb.wal", "store/millrace.duckdb.unreadable.1",
                           "store/millrace.duckdb.unreadable.1.wal"})
    std::ofstream(folder / name) << "'a constant'";
  cli::forget_constants(folder.string());
  std::set<std::string> left;
  for (const auto& file : fs::recursive_directory_iterator(folder)) {
    if (file.is_regular_file()) left.insert(fs::relative(file.path(), folder).string());
  }
  EXPECT_EQ(left, (std::set<std::string>{"alerts.json", "store/millrace.duckdb", "store/millrace.duckdb.wal"}));
  EXPECT_TRUE(fs::exists(folder / "store" / "millrace.duckdb.unreadable.folder" / "inner")) << "it isn't Millrace's";
  fs::remove_all(folder);
}

TEST(ForgetConstants, WithoutAFolder) {
  cli::forget_constants("");
  cli::forget_constants(testing::TempDir() + "forget_constants_nowhere");
}

}  // namespace
