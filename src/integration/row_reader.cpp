#include "integration/row_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <charconv>

#include "base/clock.hpp"

namespace millrace::integration {
namespace {

constexpr std::int64_t ms = 1'000'000;
/// What is read at once: 16 MiB of rows.
constexpr std::uint64_t pages_at_once = 2048;
/// Before PostgreSQL 14 a part takes as long as the whole.
constexpr std::uint64_t most_parts = 64;
/// After what took so long nothing is read for so many times that.
constexpr std::int64_t rest = 20;
constexpr std::int64_t least_rest = 200 * ms;
constexpr std::int64_t patience = 10'000 * ms;

std::string as_identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) out.append(c == '"' ? 2 : 1, c);
  return out += '"';
}

}  // namespace

void RowReader::look() {
  if (running_ || stopped_ || !values_.has_work()) return;
  running_ = true;
  boost::asio::co_spawn(io_, run(shared_from_this()), boost::asio::detached);
}

void RowReader::stop() {
  boost::asio::post(io_, [self = shared_from_this()] {
    self->stopped_ = true;
    self->values_.forget_all();
    self->ended_.set();
  });
}

boost::asio::awaitable<void> RowReader::run(std::shared_ptr<RowReader> self) {
  while (!stopped_) {
    if (const auto next = values_.next_check()) {
      co_await check(*next);
      continue;
    }
    if (!values_.has_work()) break;
    co_await pause(next_at_ - now_ns());
    // What was told and can't be seen yet would be read as it was before, and not be told again.
    if (!co_await all_is_visible()) break;
    auto load = values_.next_load();
    if (!load) continue;
    const auto began = now_ns();
    const auto outcome = co_await read(*load);
    if (outcome == Outcome::read && co_await all_is_told()) {
      values_.loaded(std::move(*load));
    } else {
      values_.failed(*load, outcome != Outcome::refused);
    }
    next_at_ = now_ns() + std::max(least_rest, rest * (now_ns() - began));
  }
  running_ = false;
}

boost::asio::awaitable<void> RowReader::check(RowValues::Check check) {
  const auto file = co_await file_of(check.table);
  values_.checked(check, file.first);
}

boost::asio::awaitable<std::pair<std::string, std::uint64_t>> RowReader::file_of(Oid table) {
  const auto answer =
      co_await query_(fmt::format("SELECT pg_catalog.pg_relation_filenode(oid), pg_catalog.pg_relation_size(oid) / "
                                  "pg_catalog.current_setting('block_size')::bigint "
                                  "FROM pg_catalog.pg_class WHERE oid = {}",
                                  table));
  std::pair<std::string, std::uint64_t> file;
  if (!answer || answer->size() != 1 || answer->front().size() != 2) co_return file;
  const auto& row = answer->front();
  if (!row[0] || !row[1]) co_return file;
  std::from_chars(row[1]->data(), row[1]->data() + row[1]->size(), file.second);
  file.first = *row[0];
  co_return file;
}

boost::asio::awaitable<RowReader::Outcome> RowReader::read(RowValues::Load& load) {
  const auto [file, pages] = co_await file_of(load.table);
  if (file.empty()) co_return Outcome::refused;
  std::string columns;
  for (const auto& column : load.key) columns += as_identifier(column) + ", ";
  const auto select =
      fmt::format("SELECT {}{} FROM ONLY {}.{} WHERE tableoid = {}", columns, as_identifier(load.column),
                  as_identifier(load.schema), as_identifier(load.name), load.table);
  const auto part = std::max(pages_at_once, pages / most_parts + 1);
  for (std::uint64_t first = 0; first == 0 || first < pages; first += part) {
    auto sql = select;
    if (first > 0) sql += fmt::format(" AND ctid >= '({},0)'::tid", first);
    if (first + part < pages) sql += fmt::format(" AND ctid < '({},0)'::tid", first + part);
    const auto rows = co_await query_(std::move(sql));
    if (!rows || stopped_ || load.rows() + rows->size() > load.most_rows) co_return Outcome::refused;
    for (const auto& row : *rows) load.add(row);
  }
  load.file = file;
  co_return (co_await file_of(load.table)).first == file ? Outcome::read : Outcome::changed;
}

boost::asio::awaitable<bool> RowReader::all_is_visible() {
  const auto until = now_ns() + patience;
  while (!freshness_->all_is_visible()) {
    if (stopped_ || now_ns() > until) co_return false;
    co_await pause(5 * ms);
  }
  co_return !stopped_;
}

boost::asio::awaitable<bool> RowReader::all_is_told() {
  const auto moment = now_ns();
  const auto told = std::make_shared<net::Signal>(io_);
  const bool comes = freshness_->want({.rows = moment, .catalogs = 0},
                                      [told, &io = io_] { boost::asio::post(io, [told] { told->set(); }); });
  if (comes) co_await told->wait(std::chrono::nanoseconds(patience));
  co_return !stopped_ && freshness_->proved_until() >= moment;
}

boost::asio::awaitable<void> RowReader::pause(std::int64_t ns) {
  if (ns > 0 && !stopped_) co_await ended_.wait(std::chrono::nanoseconds(ns));
}

}  // namespace millrace::integration
