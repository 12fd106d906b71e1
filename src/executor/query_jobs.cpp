#include "executor/query_jobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <ranges>

namespace millrace::executor {
namespace {

std::string make_prefix() {
  std::random_device device;
  return fmt::format("exec_{:08x}{:08x}_", device(), device());
}

std::size_t bytes_of(const JobRequest& request) {
  std::size_t bytes = sizeof(QueryJob) + request.sql.size();
  for (const auto& value : request.parameters) bytes += sizeof value + (value ? value->size() : 0);
  return bytes;
}

/// Of one that has waited in vain.
Error given_up() { return {.message = "the statement was cancelled before it was begun", .sqlstate = "57014"}; }

Error too_late(const QueryJob& job) {
  return {
      .message = fmt::format("the statement has waited for the {} ms that it was given", job.request().timeout.count()),
      .sqlstate = "57014"};
}

}  // namespace

QueryJobs::QueryJobs(Limits limits, Runner runner)
    : limits_(limits),
      runner_(std::move(runner)),
      prefix_(make_prefix()),
      budget_(std::make_shared<ByteBudget>(limits.most_bytes)) {}

std::expected<std::shared_ptr<QueryJob>, QueryJobs::Refusal> QueryJobs::schedule(JobRequest request, std::int64_t now) {
  tick(now);
  const std::size_t bytes = bytes_of(request);
  std::shared_ptr<QueryJob> job;
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return std::unexpected(Refusal{.why = Refused::stopping, .retry_after = std::chrono::seconds(1)});
    if (jobs_.size() >= limits_.most) {
      return std::unexpected(Refusal{.why = Refused::too_many, .retry_after = until_next_goes(now)});
    }
    if (!budget_->try_take(bytes)) {
      return std::unexpected(Refusal{.why = Refused::no_room, .retry_after = until_next_goes(now)});
    }
    const std::uint64_t number = ++last_number_;
    job = std::make_shared<QueryJob>(
        fmt::format("{}{}", prefix_, number), std::move(request), budget_, bytes, limits_.most_result_bytes,
        [this, number] { ended(number); }, now);
    jobs_.emplace(number, job);
    waiting_.emplace(number, job);
  }
  begin_some();
  return job;
}

void QueryJobs::set_most_at_once(std::size_t most) {
  {
    const std::scoped_lock lock(mutex_);
    most_at_once_ = most;
  }
  begin_some();
}

void QueryJobs::begin_some() {
  while (auto job = take_next()) runner_(std::move(job));
}

std::shared_ptr<QueryJob> QueryJobs::take_next() {
  const std::scoped_lock lock(mutex_);
  if (waiting_.empty() || running_.size() >= most_at_once_) return nullptr;
  const auto running_of = [this](const JobRequest& request) {
    return std::ranges::count_if(running_ | std::views::values, [&](const auto& other) {
      return other->request().user_id == request.user_id && other->request().project_id == request.project_id;
    });
  };
  const auto next = std::ranges::min_element(waiting_, {}, [&](const auto& entry) {
    const auto& request = entry.second->request();
    return std::tuple(-static_cast<int>(request.priority), running_of(request), entry.first);
  });
  auto job = next->second;
  running_.insert(waiting_.extract(next));
  return job;
}

void QueryJobs::ended(std::uint64_t number) {
  {
    const std::scoped_lock lock(mutex_);
    if (running_.erase(number) == 0) return;
  }
  begin_some();
}

std::optional<std::size_t> QueryJobs::position(const QueryJob& job) const {
  const std::scoped_lock lock(mutex_);
  const auto number = number_of(job.id());
  if (!number || !waiting_.contains(*number)) return std::nullopt;
  const auto is_before = [&](const auto& entry) {
    const auto priority = entry.second->request().priority;
    return priority > job.request().priority || (priority == job.request().priority && entry.first < *number);
  };
  return static_cast<std::size_t>(std::ranges::count_if(waiting_, is_before)) + 1;
}

std::optional<std::uint64_t> QueryJobs::number_of(std::string_view id) const {
  if (!id.starts_with(prefix_)) return std::nullopt;
  id.remove_prefix(prefix_.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  if (error != std::errc{} || end != id.data() + id.size() || id.starts_with('0')) return std::nullopt;
  return number;
}

std::shared_ptr<QueryJob> QueryJobs::find(std::string_view id, std::int64_t now) {
  const auto number = number_of(id);
  if (!number) return nullptr;
  tick(now);
  const std::scoped_lock lock(mutex_);
  const auto found = jobs_.find(*number);
  return found == jobs_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<QueryJob>> QueryJobs::list(std::int64_t now) {
  tick(now);
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<QueryJob>> all;
  all.reserve(jobs_.size());
  for (auto at = jobs_.rbegin(); at != jobs_.rend(); ++at) all.push_back(at->second);
  return all;
}

void QueryJobs::remove(const QueryJob& job, std::int64_t now) {
  std::shared_ptr<QueryJob> found;  // goes outside of the lock
  bool has_waited = false;
  {
    const std::scoped_lock lock(mutex_);
    const auto number = number_of(job.id());
    const auto at = number ? jobs_.find(*number) : jobs_.end();
    if (at == jobs_.end()) return;
    found = at->second;
    if (found->ended_at() != 0) jobs_.erase(at);
    has_waited = waiting_.erase(*number) > 0;
  }
  found->cancel();
  if (has_waited) found->end(std::unexpected(given_up()), now);
}

void QueryJobs::tick(std::int64_t now) {
  std::vector<std::shared_ptr<QueryJob>> gone, late;  // outside of the lock
  {
    const std::scoped_lock lock(mutex_);
    std::erase_if(jobs_, [&](auto& entry) {
      const std::int64_t ended = entry.second->ended_at();
      const bool goes = ended != 0 && now - ended >= limits_.kept_for.count();
      if (goes) gone.push_back(std::move(entry.second));
      return goes;
    });
    std::erase_if(waiting_, [&](auto& entry) {
      const auto left = entry.second->time_left(now);
      const bool is_late = left && left->count() == 0;
      if (is_late) late.push_back(std::move(entry.second));
      return is_late;
    });
  }
  for (const auto& job : late) job->end(std::unexpected(too_late(*job)), now);
  gone.clear();
  while (take_first_of_many(now)) continue;  // whose bytes are given back here
}

std::shared_ptr<QueryJob> QueryJobs::take_first_of_many(std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  if (jobs_.size() < limits_.most / 2 && budget_->held() < limits_.most_bytes / 2) return nullptr;
  auto first = jobs_.end();
  for (auto at = jobs_.begin(); at != jobs_.end(); ++at) {
    const std::int64_t ended = at->second->ended_at();
    if (ended == 0 || now - ended < limits_.kept_for_at_least.count()) continue;
    if (first == jobs_.end() || ended < first->second->ended_at()) first = at;
  }
  return first == jobs_.end() ? nullptr : std::move(jobs_.extract(first).mapped());
}

/// Of those that have ended; a second if none has.
std::chrono::seconds QueryJobs::until_next_goes(std::int64_t now) const {
  std::int64_t first = 0;
  for (const auto& [number, job] : jobs_) {
    const std::int64_t ended = job->ended_at();
    if (ended != 0 && (first == 0 || ended < first)) first = ended;
  }
  if (first == 0) return std::chrono::seconds(1);
  const auto kept = std::min(limits_.kept_for, limits_.kept_for_at_least);
  const auto left = std::chrono::nanoseconds(first + kept.count() - now);
  return std::max(std::chrono::ceil<std::chrono::seconds>(left), std::chrono::seconds(1));
}

void QueryJobs::stop(std::int64_t now) {
  Jobs all, waiting;
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    all = jobs_;
    waiting = std::exchange(waiting_, {});
  }
  for (const auto& [number, job] : all) job->cancel();
  for (const auto& [number, job] : waiting) job->end(std::unexpected(given_up()), now);
}

std::size_t QueryJobs::under_way() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(jobs_, [](const auto& entry) { return entry.second->ended_at() == 0; }));
}

}  // namespace millrace::executor
