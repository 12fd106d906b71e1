#include "integration/row_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <charconv>

#include "base/clock.hpp"
#include "base/in_quotes.hpp"
#include "base/own_lock_timeout.hpp"

namespace millrace::integration {
namespace {

constexpr std::int64_t ms = 1'000'000;
/// What is read at once: 4 MiB of rows.
constexpr std::uint64_t pages_at_once = 512;
/// Rows, before others have their turn.
constexpr std::size_t rows_at_once = 5000;
/// After what took so long nothing is read for so many times that.
constexpr std::int64_t rest = 20;
constexpr std::int64_t least_rest = 200 * ms, longest_rest = 60'000 * ms;
constexpr std::int64_t patience = 10'000 * ms;
/// What no answer depends on: pipeline::canonical_text.
constexpr int longest_value = 256;
constexpr auto no_right = "42501";

/// A table's owner has no say in what runs here, and isn't waited for: a name may have come to be a view's.
const std::string safely = fmt::format(
    "SET LOCAL search_path TO pg_catalog, pg_temp; SET LOCAL row_security TO off; SET LOCAL lock_timeout TO '{}';",
    own_lock_timeout);

/// Whatever the settings.
std::string as_literal(std::string_view text) {
  std::string out = "E'";
  for (const char c : text) out.append(c == '\'' || c == '\\' ? 2 : 1, c);
  return out += '\'';
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
  // The next transaction looks again.
  while (!stopped_ && freshness_->is_followed()) {
    if (const auto next = values_.next_check()) {
      co_await check(*next);
      continue;
    }
    if (!values_.has_work()) break;
    co_await pause(next_at_ - now_ns());
    // What was told and can't be seen yet would be read as it was before, and not be told again.
    if (!co_await all_is_visible()) break;
    auto load = values_.next_load();
    if (!load) continue;  // by now there may be something to check
    const auto began = now_ns();
    auto outcome = co_await read(*load);
    if (outcome == Outcome::read) outcome = co_await take(*load);
    if (outcome != Outcome::read) values_.failed(*load, outcome == Outcome::again);
    failures_ = outcome == Outcome::again ? std::min(failures_ + 1, 16) : 0;
    const auto took = now_ns() - began;
    next_at_ = now_ns() + std::clamp(rest * took << failures_, least_rest << failures_, longest_rest);
  }
  running_ = false;
}

boost::asio::awaitable<void> RowReader::check(RowValues::Check check) {
  std::string form;
  if (co_await all_is_visible()) form = (co_await table(check.table)).form;
  values_.checked(check, form);
}

boost::asio::awaitable<RowReader::Table> RowReader::table(Oid oid) {
  // The size first: it waits for who rewrites the table.
  const auto answer = co_await query_(fmt::format(
      "{} SELECT pg_relation_size(c.oid) / current_setting('block_size')::bigint, c.reltuples,"
      " concat_ws('/', pg_relation_filenode(c.oid), c.relkind, (SELECT string_agg(quote_ident(a.attname) || a.attnum, "
      "','"
      " ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))"
      " FROM pg_class c WHERE c.oid = {} AND c.relkind = 'r'",
      safely, oid));
  Table found;
  if (!answer || answer->size() != 1 || answer->front().size() != 3) co_return found;
  const auto& row = answer->front();
  if (!row[0] || !row[1] || !row[2]) co_return found;
  std::from_chars(row[0]->data(), row[0]->data() + row[0]->size(), found.pages);
  std::from_chars(row[1]->data(), row[1]->data() + row[1]->size(), found.rows);
  found.form = *row[2];
  co_return found;
}

boost::asio::awaitable<RowReader::Outcome> RowReader::read(RowValues::Load& load) {
  const auto before = co_await table(load.table);
  if (before.form.empty()) co_return Outcome::again;
  if (before.rows > static_cast<double>(load.most_rows)) co_return Outcome::refused;
  const auto name = in_quotes(load.schema, '"') + "." + in_quotes(load.name, '"');
  std::string columns;
  for (const auto& column : load.key) columns += in_quotes(column, '"') + ", ";
  const auto column = in_quotes(load.column, '"');
  // The lock keeps the name what it is; the first row is the proof that it is the table's.
  const auto select = fmt::format(
      "{} LOCK TABLE ONLY {} IN ACCESS SHARE MODE;"
      " SELECT 1 / count(*) FROM pg_class WHERE oid = {} AND oid = {}::regclass AND relkind = 'r';"
      " SELECT {} CASE WHEN octet_length({}::text) <= {} THEN {} END FROM ONLY {}",
      safely, name, load.table, as_literal(name), columns, column, longest_value, column, name);
  for (std::uint64_t first = 0; first == 0 || first < before.pages; first += pages_at_once) {
    auto sql = fmt::format("{} WHERE ctid >= '({},0)'::tid", select, first);
    if (first + pages_at_once < before.pages) sql += fmt::format(" AND ctid < '({},0)'::tid", first + pages_at_once);
    sql += fmt::format(" LIMIT {}", load.most_rows - load.rows() + 1);
    auto rows = co_await query_(std::move(sql));
    if (stopped_) co_return Outcome::again;
    if (!rows) co_return rows.error().sqlstate == no_right ? Outcome::refused : Outcome::again;
    for (std::size_t i = 1; i < rows->size(); ++i) {
      load.add((*rows)[i]);
      if (i % rows_at_once == 0) co_await give_way();
    }
    if (load.rows() > load.most_rows) co_return Outcome::refused;
  }
  load.form = before.form;
  co_return (co_await table(load.table)).form == before.form ? Outcome::read : Outcome::again;
}

boost::asio::awaitable<RowReader::Outcome> RowReader::take(RowValues::Load& load) {
  if (!co_await all_is_told()) co_return Outcome::again;
  while (!values_.take(load, rows_at_once)) {
    co_await give_way();
    if (stopped_) co_return Outcome::again;
  }
  co_return Outcome::read;
}

boost::asio::awaitable<bool> RowReader::all_is_visible() {
  const auto until = now_ns() + patience;
  while (!freshness_->all_is_visible()) {
    if (stopped_ || now_ns() > until || !co_await all_is_told()) co_return false;
    if (!freshness_->all_is_visible()) co_await pause(5 * ms);
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

boost::asio::awaitable<void> RowReader::give_way() { co_await boost::asio::post(io_, boost::asio::use_awaitable); }

}  // namespace millrace::integration
