#include "executor/query_jobs.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace millrace::executor {
namespace {

constexpr std::int64_t second = 1'000'000'000;
using Row = std::vector<KeptRows::Value>;

class QueryJobsTest : public testing::Test {
 protected:
  QueryJobs jobs(QueryJobs::Limits limits = {}) {
    return {limits, [this](std::shared_ptr<QueryJob> job) { begun_.push_back(std::move(job)); }};
  }
  static std::shared_ptr<QueryJob> scheduled(QueryJobs& jobs, JobRequest request = {.sql = "SELECT 1"},
                                             std::int64_t now = 1) {
    auto job = jobs.schedule(std::move(request), now);
    EXPECT_TRUE(job.has_value());
    return *job;
  }
  static Result<std::string> failure(std::string sqlstate) { return fail("no", std::move(sqlstate)); }

  std::vector<std::shared_ptr<QueryJob>> begun_;
};

TEST_F(QueryJobsTest, OneGoesItsWay) {
  auto all = jobs();
  const auto job = scheduled(all);
  ASSERT_EQ(begun_, std::vector{job});
  EXPECT_EQ(all.find(job->id(), 1), job);
  EXPECT_EQ(job->view().status, QueryStatus::queued);
  EXPECT_EQ(all.under_way(), 1);
  job->runs(7, 2 * second);
  EXPECT_EQ(job->view().status, QueryStatus::running);
  EXPECT_EQ(job->view().predicted, 7);
  job->has_columns({{.name = "a", .type_oid = 23}});
  EXPECT_TRUE(job->add(Row{"1"}));
  EXPECT_EQ(job->view().rows->rows(), 1);
  job->end("SELECT 1", 3 * second);
  const auto view = job->view();
  EXPECT_EQ(view.status, QueryStatus::completed);
  EXPECT_EQ(view.tag, "SELECT 1");
  EXPECT_EQ(view.columns->at(0).name, "a");
  EXPECT_EQ(view.ended_at - view.started_at, second);
  EXPECT_EQ(all.under_way(), 0);
}

TEST_F(QueryJobsTest, NothingIsKeptOfWhatFails) {
  auto all = jobs();
  const auto job = scheduled(all);
  job->has_columns({{.name = "a", .type_oid = 23}});
  EXPECT_TRUE(job->add(Row{"1"}));
  job->end(failure("22012"), 2);
  const auto view = job->view();
  EXPECT_EQ(view.status, QueryStatus::failed);
  EXPECT_EQ(view.error->sqlstate, "22012");
  EXPECT_EQ(view.rows, nullptr);
  EXPECT_EQ(view.columns, nullptr);
}

TEST_F(QueryJobsTest, WhyOneWasStopped) {
  auto all = jobs();
  const auto late = scheduled(all, {.sql = "x", .timeout = std::chrono::seconds(1)}, second);
  late->end(failure("57014"), 2 * second);
  EXPECT_EQ(late->view().status, QueryStatus::timeout);
  const auto by_others = scheduled(all, {.sql = "x", .timeout = std::chrono::seconds(10)}, second);
  by_others->end(failure("57014"), 2 * second);
  EXPECT_EQ(by_others->view().status, QueryStatus::failed) << "pg_cancel_backend, or statement_timeout";
  const auto cancelled = scheduled(all, {.sql = "x", .timeout = std::chrono::seconds(10)}, second);
  int told = 0;
  cancelled->on_cancel([&] { ++told; });
  all.remove(*cancelled, 1);
  all.remove(*cancelled, 1);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(all.find(cancelled->id(), second), cancelled) << "it hasn't ended yet";
  cancelled->end(failure("57014"), 2 * second);
  EXPECT_EQ(cancelled->view().status, QueryStatus::cancelled);
  const auto quicker = scheduled(all);
  all.remove(*quicker, 1);
  quicker->end("UPDATE 1", 2);
  EXPECT_EQ(quicker->view().status, QueryStatus::completed) << "it was done, whatever was asked for meanwhile";
}

TEST_F(QueryJobsTest, ACancelThatComesFirstIsNotLost) {
  auto all = jobs();
  const auto job = scheduled(all);
  job->cancel();
  bool told = false;
  job->on_cancel([&] { told = true; });
  EXPECT_TRUE(told);
}

TEST_F(QueryJobsTest, WhatHasEndedIsForgottenWhenItIsRemovedOrOld) {
  auto all = jobs({.kept_for = std::chrono::seconds(10)});
  const auto removed = scheduled(all), old = scheduled(all), young = scheduled(all), running = scheduled(all);
  for (const auto& job : {removed, old}) job->end("SELECT 1", second);
  young->end("SELECT 1", 5 * second);
  all.remove(*removed, 1);
  EXPECT_EQ(all.find(removed->id(), second), nullptr);
  EXPECT_EQ(all.find(old->id(), 11 * second - 1), old);
  EXPECT_EQ(all.find(old->id(), 11 * second), nullptr);
  EXPECT_EQ(all.list(11 * second), (std::vector{running, young}));
  all.tick(1000 * second);
  EXPECT_EQ(all.list(1000 * second), std::vector{running}) << "however long it runs";
}

TEST_F(QueryJobsTest, NoMoreThanMayBe) {
  auto all = jobs({.most = 2, .kept_for = std::chrono::seconds(10)});
  const auto first = scheduled(all);
  scheduled(all);
  auto refused = all.schedule({.sql = "x"}, second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().why, QueryJobs::Refused::too_many);
  EXPECT_EQ(refused.error().retry_after, std::chrono::seconds(1));
  EXPECT_EQ(begun_.size(), 2) << "nothing was begun";
  first->end("SELECT 1", 3 * second);
  refused = all.schedule({.sql = "x"}, 4 * second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().retry_after, std::chrono::seconds(9)) << "then the first is forgotten";
  EXPECT_TRUE(all.schedule({.sql = "x"}, 13 * second));
}

TEST_F(QueryJobsTest, OfManyJobsTheFirstGoSooner) {
  auto all = jobs({.most = 6, .kept_for = std::chrono::hours(1), .kept_for_at_least = std::chrono::seconds(10)});
  const auto later = scheduled(all), first = scheduled(all);
  first->end("SELECT 1", second);
  later->end("SELECT 1", 2 * second);
  EXPECT_EQ(all.list(1000 * second).size(), 2) << "they aren't many";
  const auto running = scheduled(all, {.sql = "x"}, 10 * second);
  EXPECT_EQ(all.list(11 * second - 1).size(), 3) << "none has been there for long";
  EXPECT_EQ(all.list(1000 * second), (std::vector{running, later})) << "and two aren't many";
}

TEST_F(QueryJobsTest, OfManyBytesTheFirstGoSooner) {
  auto all = jobs({.most_bytes = 100'000, .kept_for_at_least = std::chrono::seconds(10)});
  const std::string large(30'000, 'x');
  for (const char* sql : {"one", "other"}) {
    const auto job = scheduled(all, {.sql = sql});
    EXPECT_TRUE(job->add(Row{large}));
    job->end("SELECT 1", second);
  }
  begun_.clear();
  EXPECT_EQ(all.list(11 * second - 1).size(), 2);
  const auto left = all.list(11 * second);
  ASSERT_EQ(left.size(), 1);
  EXPECT_EQ(left.front()->request().sql, "other");
}

TEST_F(QueryJobsTest, ColumnsCountAndErrorsAreShort) {
  auto all = jobs({.most_bytes = 100'000});
  const auto job = scheduled(all);
  job->has_columns({{.name = std::string(99'000, 'x'), .type_oid = 23}});
  EXPECT_FALSE(job->add(Row{std::string(1000, 'x')}));
  EXPECT_EQ(job->why_no_room().sqlstate, "53200");
  const std::string long_text(100'000, 'x');
  job->end(fail(long_text, "P0001", long_text, long_text), 2);
  const auto error = *job->view().error;
  EXPECT_EQ(error.message.size() + error.hint.size() + error.detail.size(), 3 * 4096);
  all.remove(*job, 2);
}

TEST_F(QueryJobsTest, SoManyRunAtATime) {
  auto all = jobs();
  all.set_most_at_once(2);
  const auto first = scheduled(all), second_one = scheduled(all), third = scheduled(all), fourth = scheduled(all);
  EXPECT_EQ(begun_, (std::vector{first, second_one}));
  EXPECT_EQ(all.position(*first), std::nullopt);
  EXPECT_EQ(all.position(*third), 1);
  EXPECT_EQ(all.position(*fourth), 2);
  EXPECT_EQ(all.under_way(), 4);
  first->end("SELECT 1", 2);
  EXPECT_EQ(begun_.back(), third);
  EXPECT_EQ(all.position(*fourth), 1);
  all.set_most_at_once(1);
  third->end("SELECT 1", 3);
  EXPECT_EQ(begun_.size(), 3) << "one runs still";
  second_one->end(failure("22012"), 4);
  EXPECT_EQ(begun_.back(), fourth);
  EXPECT_EQ(all.position(*fourth), std::nullopt);
}

TEST_F(QueryJobsTest, MoreAtATimeAreBegunAtOnce) {
  auto all = jobs();
  all.set_most_at_once(1);
  for (int at = 0; at < 5; ++at) scheduled(all);
  EXPECT_EQ(begun_.size(), 1);
  all.set_most_at_once(3);
  EXPECT_EQ(begun_.size(), 3);
}

TEST_F(QueryJobsTest, WhoIsNext) {
  auto all = jobs();
  all.set_most_at_once(2);
  scheduled(all, {.sql = "ada 1", .user_id = "ada"});
  scheduled(all, {.sql = "ada 2", .user_id = "ada"});
  const auto low = scheduled(all, {.sql = "low", .user_id = "eve", .priority = Priority::low});
  const auto ada = scheduled(all, {.sql = "ada 3", .user_id = "ada"});
  const auto bob = scheduled(all, {.sql = "bob", .user_id = "bob"});
  const auto bobs = scheduled(all, {.sql = "bob 2", .user_id = "bob"});
  const auto high = scheduled(all, {.sql = "high", .user_id = "ada", .priority = Priority::high});
  EXPECT_EQ(all.position(*high), 1);
  EXPECT_EQ(all.position(*bob), 3);
  EXPECT_EQ(all.position(*low), 5);
  const auto next = [&] {
    const auto running = std::ranges::find_if(begun_, [](const auto& job) { return job->ended_at() == 0; });
    (*running)->end("SELECT 1", 2);
    return begun_.back();
  };
  EXPECT_EQ(next(), high) << "the priority comes first";
  EXPECT_EQ(next(), bob) << "one of ada's runs, and none of bob's";
  EXPECT_EQ(next(), ada) << "one of bob's runs, and none of ada's";
  EXPECT_EQ(next(), bobs);
  EXPECT_EQ(next(), low);
}

TEST_F(QueryJobsTest, OneThatWaitsIsCancelledAtOnce) {
  auto all = jobs();
  all.set_most_at_once(1);
  const auto runs = scheduled(all), waits = scheduled(all);
  all.remove(*waits, 2);
  EXPECT_EQ(waits->view().status, QueryStatus::cancelled);
  EXPECT_EQ(waits->view().error->sqlstate, "57014");
  runs->end("SELECT 1", 3);
  EXPECT_EQ(begun_, std::vector{runs}) << "it never ran";
  EXPECT_EQ(all.find(waits->id(), 3), waits);
}

TEST_F(QueryJobsTest, OneThatWaitsForAllOfItsTimeIsLate) {
  auto all = jobs();
  all.set_most_at_once(1);
  const auto runs = scheduled(all, {.sql = "x", .timeout = std::chrono::seconds(1)}, 1);
  const auto waits = scheduled(all, {.sql = "x", .timeout = std::chrono::seconds(2)}, 1);
  const auto patient = scheduled(all, {.sql = "x"}, 1);
  all.tick(2 * second);
  EXPECT_EQ(waits->ended_at(), 0);
  EXPECT_EQ(waits->time_left(2 * second)->count(), 1);
  EXPECT_EQ(patient->time_left(2 * second), std::nullopt);
  all.tick(2 * second + 1);
  EXPECT_EQ(waits->view().status, QueryStatus::timeout);
  EXPECT_EQ(runs->ended_at(), 0) << "who runs it knows its time";
  runs->end("SELECT 1", 3 * second);
  EXPECT_EQ(begun_, (std::vector{runs, patient}));
}

TEST_F(QueryJobsTest, WhatWaitsEndsWhenItStops) {
  auto all = jobs();
  all.set_most_at_once(1);
  const auto runs = scheduled(all), waits = scheduled(all);
  all.stop(2);
  EXPECT_EQ(waits->view().status, QueryStatus::cancelled);
  EXPECT_EQ(all.under_way(), 1);
  runs->end(failure("57014"), 3);
  EXPECT_EQ(all.under_way(), 0);
  EXPECT_EQ(begun_, std::vector{runs});
}

TEST_F(QueryJobsTest, BytesAreOfTextsAndResults) {
  auto all = jobs({.most_bytes = 100'000, .most_result_bytes = 50'000});
  const auto job = scheduled(all);
  const std::string large(30'000, 'x');
  EXPECT_TRUE(job->add(Row{large}));
  EXPECT_FALSE(job->add(Row{large}));
  EXPECT_EQ(job->why_no_room().sqlstate, "54000");
  auto refused = all.schedule({.sql = std::string(90'000, 'x')}, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().why, QueryJobs::Refused::no_room);
  const auto other = scheduled(all, {.sql = std::string(40'000, 'x')});
  EXPECT_FALSE(other->add(Row{large}));
  EXPECT_EQ(other->why_no_room().sqlstate, "53200");
  const auto read = job->view().rows;
  job->end("SELECT 1", 1);
  other->end(failure("53200"), 1);
  all.remove(*job, 1);
  all.remove(*other, 1);
  KeptRows::Reader reader(*read, 0);
  Row row;
  EXPECT_TRUE(reader.next(row)) << "who reads it may read on";
}

TEST_F(QueryJobsTest, NoBytesAreLost) {
  auto all = jobs({.most = 100'000, .most_bytes = 100'000});
  for (int round = 0; round < 100; ++round) {
    const auto job = scheduled(all, {.sql = std::string(40'000, 'x')}, round);
    begun_.clear();
    EXPECT_TRUE(job->add(Row{std::string(30'000, 'x')}));
    job->end("SELECT 1", 1);
    all.remove(*job, 1);
  }
}

TEST_F(QueryJobsTest, NothingIsTakenWhenItStops) {
  auto all = jobs();
  const auto job = scheduled(all);
  bool told = false;
  job->on_cancel([&] { told = true; });
  all.stop(1);
  EXPECT_TRUE(told);
  EXPECT_EQ(all.under_way(), 1) << "until it has ended";
  EXPECT_EQ(all.schedule({.sql = "x"}, 1).error().why, QueryJobs::Refused::stopping);
}

TEST_F(QueryJobsTest, IdsAreOfThisProcessAlone) {
  auto all = jobs(), others = jobs();
  const auto id = scheduled(all)->id();
  for (const auto& wrong :
       {id + "0", id + "x", id.substr(0, id.size() - 1), std::string("1"), std::string(), id + " "}) {
    EXPECT_EQ(all.find(wrong, 1), nullptr) << wrong;
  }
  scheduled(others);
  EXPECT_EQ(others.find(id, 1), nullptr);
}

TEST_F(QueryJobsTest, ManyThreadsAtOnce) {
  std::mutex mutex;
  std::vector<std::jthread> runners;  // of one job each
  QueryJobs all({.most = 50}, [&](const std::shared_ptr<QueryJob>& job) {
    const std::scoped_lock lock(mutex);
    runners.emplace_back([job] {
      job->on_cancel([] {});
      job->runs(0, 1);
      job->add(Row{"1"});
      job->end("SELECT 1", 2);
    });
  });
  all.set_most_at_once(2);
  std::vector<std::thread> threads;
  std::atomic<int> seen = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const auto job = all.schedule({.sql = "SELECT 1"}, 1);
        if (!job) continue;
        for (const auto& one : all.list(1)) one->view();
        while ((*job)->ended_at() == 0) std::this_thread::yield();
        if ((*job)->view().status == QueryStatus::completed) ++seen;
        all.remove(**job, 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  {
    std::vector<std::jthread> last;
    const std::scoped_lock lock(mutex);
    last.swap(runners);  // and they are waited for
  }
  EXPECT_EQ(seen, 200);
  EXPECT_TRUE(all.list(1).empty());
}

}  // namespace
}  // namespace millrace::executor
