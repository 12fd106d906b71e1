#include "backend/embedded_store.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "backend/duckdb_under_tsan.hpp"
#include "base/log.hpp"

namespace millrace::backend {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto patience = 60s;
constexpr EmbeddedStore::Times at_once{.between_writes = 1ms, .before_retry = 1ms};
constexpr EmbeddedStore::Times at_the_end{.between_writes = 1h, .before_retry = 1h};

class EmbeddedStoreTest : public testing::Test {
 protected:
  EmbeddedStoreTest() { fs::create_directories(folder_); }
  ~EmbeddedStoreTest() override { fs::remove_all(folder_); }

  fs::path file() const { return folder_ / "store/millrace.duckdb"; }

  /// A part that counts: a row a write.
  EmbeddedStore::Part numbers(int version = 1) {
    return {.name = "numbers",
            .version = version,
            .prepare = [this](DuckDb& database) -> Result<std::optional<std::string>> {
              if (auto made = database.run("CREATE TABLE IF NOT EXISTS numbers(n BIGINT)"); !made) {
                return std::unexpected(made.error());
              }
              return then_;
            },
            .write =
                [this](DuckDb& database, bool) {
                  return database.in_transaction([&] {
                    return database.run(fmt::format("INSERT INTO numbers SELECT {} FROM range({})", ++writes_, rows_));
                  });
                }};
  }

  std::unique_ptr<EmbeddedStore> started(EmbeddedStore::Times times, int version = 1) {
    std::vector<EmbeddedStore::Part> parts;
    parts.push_back(numbers(version));
    auto store = std::make_unique<EmbeddedStore>(folder_.string(), std::move(parts), times);
    store->start();
    return store;
  }

  static Result<std::int64_t> count(EmbeddedStore& store) {
    return store.ask(
        [](DuckDb& database) -> Result<std::int64_t> {
          auto statement = database.prepare("SELECT count(*) FROM numbers");
          if (!statement) return std::unexpected(statement.error());
          auto rows = statement->query();
          if (!rows) return std::unexpected(rows.error());
          if (const auto any = rows->next(); !any) return std::unexpected(any.error());
          return rows->signed_number(0);
        },
        patience);
  }

  /// Until `holds(status)`.
  static EmbeddedStore::Status wait(const EmbeddedStore& store,
                                    const std::function<bool(const EmbeddedStore::Status&)>& holds) {
    for (const auto end = Clock::now() + patience; Clock::now() < end; std::this_thread::sleep_for(1ms)) {
      if (auto status = store.status(); holds(status)) return status;
    }
    ADD_FAILURE() << "it didn't come: " << store.status().why;
    return store.status();
  }
  static EmbeddedStore::Status wait(const EmbeddedStore& store, EmbeddedStore::State state) {
    return wait(store, [state](const EmbeddedStore::Status& status) { return status.state == state; });
  }

  const fs::path folder_ = fs::temp_directory_path() / fmt::format("embedded_store_test.{}", getpid());
  std::atomic<int> writes_ = 0;
  std::atomic<int> rows_ = 1;
  std::optional<std::string> then_ = {};
};

TEST_F(EmbeddedStoreTest, KeepsWhatWasWrittenAtTheEnd) {
  for (int run = 0; run < 3; ++run) {
    const auto store = started(at_the_end);
    EXPECT_EQ(count(*store), run);
    const auto status = store->status();
    EXPECT_EQ(status.state, EmbeddedStore::State::open);
    EXPECT_EQ(status.path, file());
    EXPECT_GT(status.bytes, 0);
    store->stop();
    EXPECT_EQ(store->status().state, EmbeddedStore::State::closed);
    EXPECT_EQ(store->status().written, 1);
    EXPECT_FALSE(count(*store));
  }
}

TEST_F(EmbeddedStoreTest, WritesSoonWhereThatIsWanted) {
  const auto store = started(at_the_end);
  store->write_soon("nobody's");
  store->write_soon("numbers");
  wait(*store, [](const auto& status) { return status.written >= 1; });
  EXPECT_EQ(count(*store), 1);
  store->stop();
  EXPECT_EQ(store->status().written, 2) << "and at the end";
}

TEST_F(EmbeddedStoreTest, WritesNowAndThen) {
  const auto store = started(at_once);
  wait(*store, [](const auto& status) { return status.written >= 3; });
  EXPECT_GE(*count(*store), 3);
}

TEST_F(EmbeddedStoreTest, IsNobodyElsesToRead) {
  const auto store = started(at_the_end);
  EXPECT_TRUE(count(*store));
  struct stat about{};
  ASSERT_EQ(stat(file().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600);
  ASSERT_EQ(stat(file().parent_path().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0700) << "what DuckDB makes beside it is anybody's";
}

TEST_F(EmbeddedStoreTest, AnswersErrorsOfWhoAsks) {
  const auto store = started(at_the_end);
  const auto answer =
      store->ask([](DuckDb& database) -> Result<> { return database.run("SELECT * FROM nosuch"); }, patience);
  ASSERT_FALSE(answer);
  EXPECT_TRUE(answer.error().detail.contains("nosuch"));
  EXPECT_TRUE(count(*store));
}

TEST_F(EmbeddedStoreTest, NobodyWaitsForLongAndNotTooManyDo) {
  const auto store = started(at_the_end);
  const auto release = std::make_shared<std::promise<void>>();
  ASSERT_TRUE(store->post([released = release->get_future().share()](const auto&) { released.wait(); }));
  const auto late = store->ask([](DuckDb&) -> Result<> { return {}; }, 1ms);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().sqlstate, "57014");
  Result<> posted;
  for (int i = 0; i < 1000 && posted; ++i) posted = store->post([](const auto&) {});
  ASSERT_FALSE(posted);
  EXPECT_EQ(posted.error().sqlstate, "53400");
  release->set_value();
  EXPECT_TRUE(wait(*store, EmbeddedStore::State::open).why.empty());
}

TEST_F(EmbeddedStoreTest, ASecondProcessIsToldWhoHasIt) {
  const auto first = started(at_the_end);
  ASSERT_TRUE(count(*first));
  // The lock is a process's: only another one meets it.
  const pid_t other = fork();
  if (other == 0) {
    const auto opened = DuckDb::open(file());
    _exit(!opened && opened.error().sqlstate == duckdb_error::in_use &&
                  opened.error().detail.contains(fmt::format("PID {}", getppid()))
              ? 0
              : 1);
  }
  int ended = 0;
  waitpid(other, &ended, 0);
  EXPECT_EQ(ended, 0);
}

TEST_F(EmbeddedStoreTest, OpensItOnceTheOtherOneHasGone) {
  ASSERT_TRUE(count(*started(at_the_end)));
  int to_child[2];
  int to_parent[2];
  ASSERT_EQ(pipe(to_child) + pipe(to_parent), 0);
  const pid_t other = fork();
  if (other == 0) {
    auto opened = DuckDb::open(file());
    char byte = opened ? 'o' : 'f';
    static_cast<void>(write(to_parent[1], &byte, 1));
    static_cast<void>(read(to_child[0], &byte, 1));
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(to_parent[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'o');
  const auto store = started(at_once);
  const auto status = wait(*store, EmbeddedStore::State::unavailable);
  EXPECT_TRUE(status.why.contains(fmt::format("PID {}", other))) << status.why;
  EXPECT_FALSE(store->ask([](DuckDb&) -> Result<> { return {}; }, patience));
  ASSERT_EQ(write(to_child[1], "x", 1), 1);
  waitpid(other, nullptr, 0);
  wait(*store, EmbeddedStore::State::open);
  EXPECT_GE(*count(*store), 1);
  EXPECT_EQ(store->status().set_aside, 0);
}

TEST_F(EmbeddedStoreTest, IsWrittenAnewWhereAPartAsksForThat) {
  rows_ = 50'000;
  ASSERT_TRUE(count(*started(at_the_end)));
  const auto inode = [&] {
    struct stat about{};
    EXPECT_EQ(stat(file().c_str(), &about), 0);
    return about.st_ino;
  };
  const auto before = inode();
  then_ = "INSERT INTO numbers VALUES (0)";
  const auto store = started(at_the_end);
  EXPECT_EQ(count(*store), 50'001);
  EXPECT_NE(inode(), before);
  store->stop();
  then_.reset();
  EXPECT_EQ(count(*started(at_the_end)), 100'001);
}

TEST_F(EmbeddedStoreTest, SetsAsideWhatItCantRead) {
  fs::create_directories(file().parent_path());
  for (int number = 1; number <= 2; ++number) {
    std::ofstream(file(), std::ios::trunc) << "this is no database, " << number;
    const auto store = started(at_the_end);
    EXPECT_EQ(count(*store), 0);
    EXPECT_EQ(store->status().set_aside, 1);
    std::ifstream aside(fmt::format("{}.unreadable.{}", file().string(), number));
    std::string text;
    std::getline(aside, text);
    EXPECT_EQ(text, fmt::format("this is no database, {}", number));
  }
}

/// As DuckDB sums its headers up.
std::uint64_t checksum(const std::vector<char>& header) {
  constexpr std::uint64_t start = 5381;
  constexpr std::uint64_t odd = 0xbf58476d1ce4e5b9;
  std::uint64_t sum = start;
  for (std::size_t at = 8; at + 8 <= header.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, &header[at], sizeof(word));
    sum ^= word * odd;
  }
  return sum;
}

TEST_F(EmbeddedStoreTest, LeavesAloneWhatANewerDuckDbWrote) {
  ASSERT_TRUE(count(*started(at_the_end)));
  std::vector<char> header(4096);
  std::fstream patched(file(), std::ios::in | std::ios::out | std::ios::binary);
  patched.read(header.data(), static_cast<std::streamsize>(header.size()));
  std::uint64_t summed = 0;
  std::memcpy(&summed, header.data(), sizeof(summed));
  ASSERT_EQ(checksum(header), summed);
  constexpr std::uint64_t version = 9999;
  std::memcpy(&header[12], &version, sizeof(version));
  summed = checksum(header);
  std::memcpy(header.data(), &summed, sizeof(summed));
  patched.seekp(0);
  patched.write(header.data(), static_cast<std::streamsize>(header.size()));
  patched.close();
  const auto store = started(at_the_end);
  const auto status = wait(*store, EmbeddedStore::State::unavailable);
  EXPECT_TRUE(status.why.contains("9999")) << status.why;
  EXPECT_EQ(status.set_aside, 0);
}

TEST_F(EmbeddedStoreTest, LeavesAloneWhatANewerMillraceWrote) {
  ASSERT_TRUE(count(*started(at_the_end, 2)));
  const auto store = started(at_the_end, 1);
  const auto status = wait(*store, EmbeddedStore::State::unavailable);
  EXPECT_TRUE(status.why.contains("newer version of Millrace")) << status.why;
  store->stop();
  EXPECT_EQ(count(*started(at_the_end, 2)), 1);
}

TEST_F(EmbeddedStoreTest, AFullDiskIsSaidAndOutlived) {
  // A file that may not grow stands for it.
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  const auto store = started(at_once);
  wait(*store, [](const auto& status) { return status.written > 0; });
  rlimit unlimited{};
  getrlimit(RLIMIT_FSIZE, &unlimited);
  rlimit full = unlimited;
  full.rlim_cur = store->status().bytes;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  rows_ = 20'000;
  const auto status = wait(*store, [](const auto& now) { return now.failed_writes >= 3; });
  EXPECT_FALSE(status.why.empty());
  EXPECT_EQ(status.set_aside, 0);
  const auto kept = count(*store);
  ASSERT_TRUE(kept) << "it can still be read";
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
  wait(*store, [&](const auto& now) { return now.written > status.written; });
  EXPECT_GT(*count(*store), *kept);
  std::signal(SIGXFSZ, before);
}

TEST_F(EmbeddedStoreTest, AKilledProcessLosesAtMostABatch) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t other = fork();
  if (other == 0) {
    auto database = DuckDb::open(folder_ / "killed.duckdb");
    if (!database->run("CREATE TABLE t(n BIGINT)")) _exit(1);
    for (std::int64_t batch = 1;; ++batch) {
      const auto done = database->in_transaction(
          [&] { return database->run(fmt::format("INSERT INTO t SELECT {} FROM range(1000)", batch)); });
      if (!done || write(pipe_ends[1], &batch, sizeof(batch)) != sizeof(batch)) _exit(1);
    }
  }
  close(pipe_ends[1]);
  std::int64_t told = 0;
  while (told < 20) ASSERT_EQ(read(pipe_ends[0], &told, sizeof(told)), sizeof(told));
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
  while (read(pipe_ends[0], &told, sizeof(told)) == sizeof(told)) {
  }
  close(pipe_ends[0]);
  auto database = DuckDb::open(folder_ / "killed.duckdb");
  ASSERT_TRUE(database) << database.error().detail;
  auto statement = database->prepare("SELECT max(n), count(*) FROM t");
  auto rows = statement->query();
  ASSERT_TRUE(rows && *rows->next());
  EXPECT_GE(rows->signed_number(0), told) << "what was committed is there";
  EXPECT_LE(rows->signed_number(0), told + 1);
  EXPECT_EQ(rows->signed_number(1), rows->signed_number(0) * 1000) << "whole batches";
}

}  // namespace
}  // namespace millrace::backend
