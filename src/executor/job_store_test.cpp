#include "executor/job_store.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "backend/duckdb_under_tsan.hpp"
#include "base/clock.hpp"

namespace millrace::executor {
namespace {

namespace fs = std::filesystem;
using backend::DuckDb;
using Row = std::vector<KeptRows::Value>;

class JobStoreTest : public testing::Test {
 protected:
  JobStoreTest() { fs::create_directories(folder_); }
  ~JobStoreTest() override { fs::remove_all(folder_); }

  /// A process, from its start to its end; at its end nothing is written.
  struct Process {
    std::vector<std::shared_ptr<QueryJob>> begun = {};
    std::shared_ptr<QueryJobs> jobs = {};
    std::unique_ptr<JobStore> store = {};
    std::optional<DuckDb> database = {};

    void write(bool is_last = false) {
      const auto written = store->write(*database, is_last);
      ASSERT_TRUE(written) << written.error().message << written.error().detail;
    }
    std::shared_ptr<QueryJob> schedule(std::string sql, JobRequest request = {}) const {
      request.sql = std::move(sql);
      auto job = jobs->schedule(std::move(request), now_ns());
      return job ? *job : nullptr;
    }
    std::shared_ptr<QueryJob> find(const std::shared_ptr<QueryJob>& job) const {
      return jobs->find(job->id(), now_ns());
    }
  };

  /// Where there is one, it ends as by a crash.
  void start(QueryJobs::Limits limits = {}) {
    process.reset();
    auto& one = process;
    one = std::make_unique<Process>();
    one->jobs = std::make_shared<QueryJobs>(
        limits, [it = one.get()](std::shared_ptr<QueryJob> job) { it->begun.push_back(std::move(job)); });
    one->jobs->use({.changed = [] {}, .remind = {}, .server = [this] { return server_; }});
    one->store = std::make_unique<JobStore>(
        one->jobs, JobStore::Hooks{.may_run_again = [this](const std::string& sql) -> std::optional<bool> {
                                     if (!catalogs_are_known_) return std::nullopt;
                                     return sql.starts_with("SELECT");
                                   },
                                   .without_constants = [](const std::string&) { return JobStore::Shown{.text = "?"}; },
                                   .write_soon = [] {}});
    auto opened = DuckDb::open((folder_ / "file").string());
    EXPECT_TRUE(opened) << opened.error().detail;
    one->database.emplace(*std::move(opened));
    Result<std::optional<std::string>> prepared;
    const auto done = one->database->in_transaction([&]() -> Result<> {
      prepared = one->store->prepare(*one->database);
      return prepared ? Result<>() : std::unexpected(prepared.error());
    });
    EXPECT_TRUE(done) << done.error().message << done.error().detail;
    one->write();
  }
  std::int64_t count(const std::string& of) {
    std::int64_t number = -1;
    const auto take = [&](const backend::DuckDbRows& row) -> Result<> {
      number = row.signed_number(0);
      return {};
    };
    EXPECT_TRUE(process->database->each("SELECT count(*) FROM " + of, take));
    return number;
  }
  static std::string why(const std::shared_ptr<QueryJob>& job) {
    const auto view = job->view();
    EXPECT_EQ(view.status, QueryStatus::failed);
    EXPECT_EQ(view.error.value_or(Error{}).sqlstate, "57P01");
    return view.error.value_or(Error{}).message;
  }

  std::unique_ptr<Process> process;
  const fs::path folder_ = fs::temp_directory_path() / fmt::format("job_store_test.{}", getpid());
  std::string server_ = "here";
  bool catalogs_are_known_ = true;
};

TEST_F(JobStoreTest, WhatHasEndedIsAsItWas) {
  start();
  const std::string zeros("a\0b", 3);
  const auto done = process->schedule("SELECT 1", {.query_id = "mine",
                                                   .parameters = {"\xff", std::nullopt, ""},
                                                   .user_id = "u",
                                                   .project_id = "p",
                                                   .priority = Priority::high,
                                                   .timeout = std::chrono::seconds(9),
                                                   .memory_limit_mb = 3});
  const auto empty = process->schedule("SELECT 2");
  const auto failed = process->schedule("SELECT 3");
  done->runs(0, now_ns());
  done->has_columns({{.name = "a", .type_oid = 23}, {.name = "", .type_oid = 4'000'000'000, .type_modifier = 655366}});
  EXPECT_TRUE(done->add(Row{"1", std::nullopt}));
  EXPECT_TRUE(done->add(Row{zeros, ""}));
  done->end("SELECT 2", now_ns());
  empty->has_columns({{.name = "b", .type_oid = 25}});
  empty->end("SELECT 0", now_ns());
  failed->end(fail("no", "22012", "hint", "detail"), now_ns());
  process->write();
  start();
  EXPECT_TRUE(process->store->has_read());
  const auto again = process->find(done);
  ASSERT_NE(again, nullptr);
  const auto view = again->view();
  EXPECT_EQ(view.status, QueryStatus::completed);
  EXPECT_TRUE(view.is_restored);
  EXPECT_EQ(view.runs, 1);
  EXPECT_EQ(view.tag, "SELECT 2");
  EXPECT_EQ(view.columns->at(1).type_oid, 4'000'000'000);
  EXPECT_EQ(view.columns->at(0).type_modifier, -1);
  EXPECT_EQ(view.columns->at(1).type_modifier, 655366);
  const auto& asked = again->request();
  EXPECT_EQ(asked.sql, "SELECT 1");
  EXPECT_EQ(asked.parameters, done->request().parameters);
  EXPECT_EQ(std::tie(asked.query_id, asked.user_id, asked.project_id), std::tuple("mine", "u", "p"));
  EXPECT_EQ(asked.priority, Priority::high);
  EXPECT_EQ(asked.timeout, std::chrono::seconds(9));
  EXPECT_EQ(asked.memory_limit_mb, 3);
  KeptRows::Reader rows(*view.rows, 0);
  Row row;
  ASSERT_TRUE(rows.next(row));
  EXPECT_EQ(row, (Row{"1", std::nullopt}));
  ASSERT_TRUE(rows.next(row));
  EXPECT_EQ(row, (Row{zeros, ""}));
  EXPECT_FALSE(rows.next(row));
  EXPECT_EQ(process->find(empty)->view().rows->rows(), 0);
  EXPECT_EQ(process->find(empty)->view().columns->size(), 1);
  const auto error = process->find(failed)->view().error.value_or(Error{});
  EXPECT_EQ(std::tie(error.message, error.sqlstate, error.hint, error.detail),
            std::tuple("no", "22012", "hint", "detail"));
  EXPECT_EQ(process->jobs->list(now_ns()).size(), 3);
  EXPECT_EQ(process->jobs->list(now_ns()).back()->id(), done->id()) << "the newest first";
  EXPECT_TRUE(process->begun.empty());
}

TEST_F(JobStoreTest, AReadIsRunAgainOnceAndAWriteNever) {
  start();
  const auto read = process->schedule("SELECT 1", {.parameters = {"7"}});
  const auto write = process->schedule("INSERT secret", {.parameters = {"secret"}});
  const auto cancelled = process->schedule("SELECT 2");
  for (const auto& job : process->begun) job->runs(0, now_ns());
  process->jobs->remove(*cancelled, now_ns());  // and it hasn't ended
  process->write();
  start();
  EXPECT_EQ(why(process->find(write)),
            "restarted: Millrace ended while the statement ran, which isn't known to be a read");
  EXPECT_EQ(process->find(write)->request().sql, "?");
  EXPECT_TRUE(process->find(write)->request().parameters.empty());
  EXPECT_EQ(process->find(cancelled)->view().status, QueryStatus::cancelled);
  ASSERT_EQ(process->begun.size(), 1);
  const auto again = process->begun.front();
  EXPECT_EQ(again->id(), read->id());
  EXPECT_EQ(again->request().parameters, read->request().parameters);
  // That is on the disk, although nothing was written since it was begun.
  start();
  EXPECT_EQ(why(process->find(read)), "restarted: Millrace ended while the statement ran or was about to, twice");
  EXPECT_TRUE(process->begun.empty());
}

TEST_F(JobStoreTest, WhatWaitedIsRunAndThatIsNoSecondTime) {
  start();
  process->jobs->set_most_at_once(0);
  const auto read = process->schedule("SELECT 1"), write = process->schedule("INSERT");
  process->write();
  for (int restart = 0; restart < 3; ++restart) {  // in order: it is known that it wasn't begun
    start();
    ASSERT_EQ(process->begun.size(), 1);
    EXPECT_EQ(process->begun.front()->id(), read->id());
    EXPECT_EQ(why(process->find(write)),
              "restarted: Millrace ended while the statement waited, which isn't known to be a read");
    process->jobs->stop(now_ns());
    process->begun.front()->end(fail("cancelled", "57014"), now_ns());
    EXPECT_EQ(process->find(read)->view().status, QueryStatus::queued);
    process->write(true);
  }
  start();
  process->begun.front()->runs(0, now_ns());
  EXPECT_EQ(process->begun.front()->view().runs, 1);
  // By crashes it isn't: it is run twice more at most.
  for (const std::size_t begun : {1, 0}) {
    start();
    EXPECT_EQ(process->begun.size(), begun);
  }
}

TEST_F(JobStoreTest, AnOrderlyEndLeavesWhatRuns) {
  start();
  const auto left = process->schedule("SELECT 1"), write = process->schedule("INSERT");
  const auto quick = process->schedule("INSERT 2"), cancelled = process->schedule("SELECT 2");
  for (const auto& job : process->begun) job->runs(0, now_ns());
  bool told = false;
  left->on_cancel([&] { told = true; });
  process->write();
  process->jobs->remove(*cancelled, now_ns());
  process->jobs->stop(now_ns());
  EXPECT_TRUE(told);
  for (const auto& job : {left, write, cancelled}) job->end(fail("cancelled", "57014"), now_ns());
  quick->end("INSERT 0 1", now_ns());
  EXPECT_EQ(left->view().status, QueryStatus::running);
  EXPECT_EQ(process->jobs->under_way(), 0);
  process->write(true);
  start();
  ASSERT_EQ(process->begun.size(), 1);
  EXPECT_EQ(process->begun.front()->id(), left->id());
  EXPECT_EQ(why(process->find(write)),
            "restarted: Millrace ended while the statement ran, which isn't known to be a read");
  EXPECT_EQ(process->find(quick)->view().status, QueryStatus::completed);
  EXPECT_EQ(process->find(cancelled)->view().status, QueryStatus::cancelled);
}

TEST_F(JobStoreTest, OnAnotherServerNothingIsRun) {
  start();
  const auto running = process->schedule("SELECT 1"), waiting = process->schedule("SELECT 2");
  running->runs(0, now_ns());
  process->write();
  server_ = "there";
  start();
  EXPECT_TRUE(process->begun.empty());
  for (const auto& job : {running, waiting}) {
    EXPECT_EQ(why(process->find(job)),
              "restarted: Millrace ended before the statement did, and DATABASE_URL is another now");
  }
}

TEST_F(JobStoreTest, WithoutCatalogsNothingIsRunAgain) {
  start();
  const auto read = process->schedule("SELECT 1");
  read->runs(0, now_ns());
  process->write();
  catalogs_are_known_ = false;
  const auto unknown = process->schedule("SELECT 2");
  process->write();
  start();
  EXPECT_TRUE(process->begun.empty());
  EXPECT_EQ(process->find(read)->view().status, QueryStatus::queued);
  EXPECT_EQ(why(process->find(unknown)),
            "restarted: Millrace ended while the statement waited, which isn't known to be a read");
  // Others don't wait for it.
  const auto other = process->schedule("SELECT 3");
  EXPECT_EQ(process->begun, std::vector{other});
  catalogs_are_known_ = true;
  process->write();
  ASSERT_EQ(process->begun.size(), 2);
  EXPECT_EQ(process->begun.back()->id(), read->id());
}

TEST_F(JobStoreTest, AsManyLongJobsAsThereMayBeAreReadAgain) {
  start();
  process->schedule("SELECT 1")->end("SELECT 0", now_ns());
  process->write();
  const std::size_t many = QueryJobs::Limits().most;
  ASSERT_TRUE(process->database->run(
      fmt::format("INSERT INTO jobs SELECT jobs.* REPLACE (id || i AS id, repeat('1', 16000)::BLOB AS query, "
                  "repeat('x', 12000)::BLOB AS error) FROM jobs, range({}) numbers(i)",
                  many - 1)));
  start();
  EXPECT_EQ(process->jobs->list(now_ns()).size(), many);
}

TEST_F(JobStoreTest, OfWhatMayHoldAPasswordTheResultIsNotKept) {
  start();
  const auto job = process->schedule("VALUES ('secret')");
  job->has_columns({{"column1"}});
  EXPECT_TRUE(job->add(Row{"secret"}));
  job->end("SELECT 1", now_ns());
  const auto changes = process->schedule("ALTER ROLE x");
  changes->end("ALTER ROLE", now_ns());
  process->write();
  EXPECT_EQ(count("job_results"), 0);
  start();
  EXPECT_EQ(why(process->find(job)),
            "restarted: the statement was completed; its result isn't kept, as it may hold a password");
  EXPECT_EQ(process->find(changes)->view().status, QueryStatus::completed);
}

TEST_F(JobStoreTest, WhatIsForgottenIsGone) {
  start({.kept_for = std::chrono::hours(1)});
  for (const char* const sql : {"SELECT 1", "SELECT 2"}) {
    const auto job = process->schedule(sql);
    EXPECT_TRUE(job->add(Row{"x"}));
    job->end("SELECT 1", now_ns());
  }
  process->write();
  EXPECT_EQ(count("jobs"), 2);
  EXPECT_EQ(count("job_results"), 2);
  process->jobs->remove(*process->begun.front(), now_ns());
  process->write();
  EXPECT_EQ(count("jobs"), 1);
  EXPECT_EQ(count("job_results"), 1);
  ASSERT_TRUE(process->database->run("UPDATE jobs SET completed_us = completed_us - 3600000000"));
  start({.kept_for = std::chrono::hours(1)});
  EXPECT_TRUE(process->jobs->list(now_ns()).empty());
  EXPECT_EQ(count("jobs") + count("job_results"), 0);
}

TEST_F(JobStoreTest, WhatWasRemovedDoesNotComeBackWithTheFile) {
  start();
  const auto own = process->schedule("SELECT 1");
  own->end("SELECT 0", now_ns());
  process->write();
  start();
  process->jobs->remove(*process->find(own), now_ns());
  ASSERT_TRUE(process->store->prepare(*process->database));  // the file is opened anew
  process->write();
  EXPECT_EQ(process->find(own), nullptr);
  EXPECT_EQ(count("jobs"), 0);
}

TEST_F(JobStoreTest, LargeResultsAreReadAgainAndNoMoreThanThereIsRoomFor) {
  constexpr std::size_t mib = std::size_t{1} << 20;
  std::string row(mib, 'x');  // which can't be compressed
  std::mt19937 chance(1);     // NOLINT(cert-msc51-cpp): the same each time
  std::ranges::generate(row, [&] { return static_cast<char>(chance()); });
  start();
  std::vector<std::shared_ptr<QueryJob>> jobs;
  for (const int rows : {63, 10}) {
    jobs.push_back(process->schedule("SELECT"));
    for (int at = 0; at < rows; ++at) ASSERT_TRUE(jobs.back()->add(Row{row}));
    jobs.back()->end("SELECT", now_ns());
    process->write();
  }
  start();
  for (const auto& job : jobs) EXPECT_EQ(process->find(job)->view().rows->bytes(), job->view().rows->bytes());
  start({.most_bytes = 65 * mib, .kept_for_at_least = std::chrono::hours(1)});
  int kept = 0;
  for (const auto& job : jobs) {
    const auto view = process->find(job)->view();
    kept += view.status == QueryStatus::completed ? 1 : 0;
    if (view.status != QueryStatus::completed) {
      EXPECT_EQ(why(process->find(job)), "restarted: the statement was completed, but there is no room for its result");
    }
  }
  EXPECT_EQ(kept, 1);
}

TEST_F(JobStoreTest, NothingIsLeftWhereNothingMayBe) {
  start();
  process->schedule("SELECT 1")->end("SELECT 0", now_ns());
  process->write();
  auto then = JobStore::forget(*process->database);
  ASSERT_TRUE(then && *then);
  EXPECT_EQ(count("jobs"), 0);
  ASSERT_TRUE(JobStore::forget(*process->database).value()) << "until the file is written anew";
  ASSERT_TRUE(process->database->run(**then));
  EXPECT_FALSE(JobStore::forget(*process->database).value());
}

}  // namespace
}  // namespace millrace::executor
