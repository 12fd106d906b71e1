#include "executor/query_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace millrace::executor {
namespace {

/// Of each part of an error: the server's may be as long as a message.
constexpr std::size_t most_error_bytes = 4096;

void shorten(std::string& text) {
  if (text.size() <= most_error_bytes) return;
  text.resize(most_error_bytes);
  text.shrink_to_fit();
}

}  // namespace

Error restarted(std::string_view why, std::string hint) {
  return {.message = fmt::format("restarted: {}", why), .sqlstate = "57P01", .hint = std::move(hint)};
}

Error went_elsewhere() { return restarted("Millrace ended before the statement did, and DATABASE_URL is another now"); }

QueryJob::QueryJob(std::int64_t number, std::string id, JobRequest request, std::shared_ptr<ByteBudget> budget,
                   std::size_t charged, std::size_t most_bytes, std::function<void()> on_change, std::int64_t now)
    : number_(number),
      id_(std::move(id)),
      request_(std::move(request)),
      budget_(std::move(budget)),
      created_at_(now),
      on_change_(std::move(on_change)),
      charged_(charged),
      rows_(std::make_shared<KeptRows>(budget_, most_bytes)) {
  view_.created = std::chrono::system_clock::now();
  view_.created_at = now;
  view_.rows = rows_;
}

std::optional<std::chrono::nanoseconds> QueryJob::time_left(std::int64_t now) const {
  if (request_.timeout.count() == 0) return std::nullopt;
  const std::chrono::nanoseconds timeout = request_.timeout;
  return std::max(std::chrono::nanoseconds::zero(), timeout - std::chrono::nanoseconds(now - created_at_));
}

void QueryJob::on_cancel(std::function<void()> cancel) {
  {
    const std::scoped_lock lock(mutex_);
    if (!view_.cancel_asked && !was_left_) {
      cancel_ = std::move(cancel);
      return;
    }
  }
  cancel();
}

void QueryJob::waits(std::shared_ptr<const WaitingQuery> turn) {
  const std::scoped_lock lock(mutex_);
  view_.turn = std::move(turn);
}

void QueryJob::goes_to(std::string server) {
  const std::scoped_lock lock(mutex_);
  view_.server = std::move(server);
}

void QueryJob::runs(std::int64_t predicted, std::int64_t now) {
  {
    const std::scoped_lock lock(mutex_);
    view_.status = QueryStatus::running;
    view_.turn = nullptr;
    view_.predicted = predicted;
    view_.started = std::chrono::system_clock::now();
    view_.started_at = now;
    ++view_.runs;
  }
  on_change_();
}

void QueryJob::has_columns(Columns columns) {
  std::size_t bytes = 0;
  for (const auto& column : columns) bytes += sizeof column + column.name.size();
  budget_->take(bytes);
  const std::scoped_lock lock(mutex_);
  charged_ += bytes;
  view_.columns = std::make_shared<const Columns>(std::move(columns));
}

bool QueryJob::add(std::span<const KeptRows::Value> row) {
  if (rows_->add(row)) return true;
  is_too_large_ = rows_->is_at_its_limit(row);
  return false;
}

Error QueryJob::why_no_room() const {
  if (is_too_large_) {
    return {.message = "the result is larger than a job's may be",
            .sqlstate = "54000",
            .hint = "Nothing of it is kept. Ask for less at a time, or over PostgreSQL's port."};
  }
  return {.message = "the results of all jobs together take all the memory that they may",
          .sqlstate = "53200",
          .hint = "DELETE jobs whose results are no longer needed."};
}

void QueryJob::end(Result<std::string> tag, std::int64_t now) {
  const auto dropped = end_here(std::move(tag), now);
  ended_at_.store(now, std::memory_order::release);
  on_change_();
}

/// Returns the rows of one that hasn't completed, which go outside of the lock.
std::shared_ptr<KeptRows> QueryJob::end_here(Result<std::string> tag, std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  cancel_ = nullptr;
  view_.turn = nullptr;
  if (was_left_ && !tag && !view_.cancel_asked) {
    view_.columns = nullptr;
    view_.rows = nullptr;
    return std::exchange(rows_, nullptr);
  }
  view_.completed = std::chrono::system_clock::now();
  view_.ended_at = now;
  if (tag) {
    view_.status = QueryStatus::completed;
    view_.tag = *std::move(tag);
    return nullptr;
  }
  const bool was_stopped = tag.error().sqlstate == "57014";
  const auto left = time_left(now);
  const bool is_late = left && left->count() == 0;
  view_.status = !was_stopped         ? QueryStatus::failed
                 : view_.cancel_asked ? QueryStatus::cancelled
                 : is_late            ? QueryStatus::timeout
                                      : QueryStatus::failed;
  view_.error = std::move(tag).error();
  for (auto* const text : {&view_.error->message, &view_.error->detail, &view_.error->hint}) shorten(*text);
  view_.columns = nullptr;
  view_.rows = nullptr;
  return std::exchange(rows_, nullptr);
}

void QueryJob::cancel() {
  std::function<void()> cancel;
  {
    const std::scoped_lock lock(mutex_);
    if (std::exchange(view_.cancel_asked, true)) return;
    cancel = std::exchange(cancel_, nullptr);
  }
  if (cancel) cancel();
}

void QueryJob::leave() {
  std::function<void()> cancel;
  {
    const std::scoped_lock lock(mutex_);
    was_left_ = true;
    cancel = std::exchange(cancel_, nullptr);
  }
  if (cancel) cancel();
}

void QueryJob::restore(View past) {
  view_ = std::move(past);
  view_.is_restored = true;
  if (view_.status == QueryStatus::completed || !has_ended(view_.status)) {
    view_.rows = rows_;
  } else {
    rows_ = nullptr;
  }
  ended_at_ = view_.ended_at;
}

QueryJob::View QueryJob::view() const {
  const std::scoped_lock lock(mutex_);
  return view_;
}

}  // namespace millrace::executor
