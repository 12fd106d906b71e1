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
    const Number number = ++last_number_;
    job = make(number, fmt::format("{}{}", prefix_, number), std::move(request), now);
    job->goes_to(server());
    jobs_.emplace(number, job);
    waiting_.emplace(number, job);
  }
  tell_keeper();
  begin_some();
  return job;
}

/// The bytes of the request are taken.
std::shared_ptr<QueryJob> QueryJobs::make(Number number, std::string id, JobRequest request, std::int64_t now) {
  const std::size_t bytes = bytes_of(request);
  return std::make_shared<QueryJob>(
      number, std::move(id), std::move(request), budget_, bytes, limits_.most_result_bytes,
      [this, number] { changed(number); }, now);
}

std::shared_ptr<QueryJob> QueryJobs::restore(std::string id, JobRequest request, QueryJob::View past) {
  if (!budget_->try_take(bytes_of(request))) return nullptr;
  Number number = 0;
  {
    const std::scoped_lock lock(mutex_);
    number = --first_number_;
  }
  auto job = make(number, std::move(id), std::move(request), past.created_at);
  job->restore(std::move(past));
  return job;
}

bool QueryJobs::adopt(const std::shared_ptr<QueryJob>& job, bool held) {
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_ || jobs_.size() >= limits_.most) return false;
    const Number number = job->number();
    jobs_.emplace(number, job);
    if (job->ended_at() == 0) {
      waiting_.emplace(number, job);
      if (held) held_.insert(number);
    }
  }
  begin_some();
  return true;
}

void QueryJobs::release(const QueryJob& job) {
  {
    const std::scoped_lock lock(mutex_);
    held_.erase(job.number());
  }
  begin_some();
}

void QueryJobs::refuse(const QueryJob& job, Error why, std::int64_t now) {
  std::shared_ptr<QueryJob> found;
  {
    const std::scoped_lock lock(mutex_);
    if (auto at = waiting_.extract(job.number())) found = std::move(at.mapped());
  }
  if (found) found->end(std::unexpected(std::move(why)), now);
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
    return std::tuple(held_.contains(entry.first), -static_cast<int>(request.priority), running_of(request),
                      entry.first);
  });
  if (held_.contains(next->first)) return nullptr;
  auto job = next->second;
  running_.insert(waiting_.extract(next));
  return job;
}

/// It was begun, or has ended.
void QueryJobs::changed(Number number) {
  tell_keeper();
  {
    const std::scoped_lock lock(mutex_);
    const auto found = running_.find(number);
    if (found == running_.end() || found->second->ended_at() == 0) return;
    running_.erase(found);
  }
  begin_some();
}

std::optional<std::size_t> QueryJobs::position(const QueryJob& job) const {
  const std::scoped_lock lock(mutex_);
  const Number number = job.number();
  if (!waiting_.contains(number)) return std::nullopt;
  const auto is_before = [&](const auto& entry) {
    const auto priority = entry.second->request().priority;
    return priority > job.request().priority || (priority == job.request().priority && entry.first < number);
  };
  return static_cast<std::size_t>(std::ranges::count_if(waiting_, is_before)) + 1;
}

/// With the lock held.
std::optional<QueryJobs::Number> QueryJobs::number_of(std::string_view id) const {
  if (!is_own(id)) {
    const auto found =
        std::ranges::find(jobs_, id, [](const auto& entry) { return std::string_view(entry.second->id()); });
    return found == jobs_.end() ? std::nullopt : std::optional(found->first);
  }
  id.remove_prefix(prefix_.size());
  Number number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  if (error != std::errc{} || end != id.data() + id.size() || id.starts_with('0') || number < 0) return std::nullopt;
  return number;
}

std::shared_ptr<QueryJob> QueryJobs::find(std::string_view id, std::int64_t now) {
  tick(now);
  const std::scoped_lock lock(mutex_);
  const auto number = number_of(id);
  const auto found = number ? jobs_.find(*number) : jobs_.end();
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
    const auto at = jobs_.find(job.number());
    if (at == jobs_.end()) return;
    found = at->second;
    if (found->ended_at() != 0) jobs_.erase(at);
    has_waited = waiting_.erase(job.number()) > 0;
  }
  found->cancel();
  tell_keeper();
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
  for (const auto& [number, job] : all) keeper_.changed ? job->leave() : job->cancel();
  for (const auto& [number, job] : waiting) job->end(std::unexpected(given_up()), now);
}

std::size_t QueryJobs::under_way() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(jobs_, [](const auto& entry) { return entry.second->ended_at() == 0; }));
}

}  // namespace millrace::executor
