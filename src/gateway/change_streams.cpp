#include "gateway/change_streams.hpp"

#include "gateway/core.hpp"
#include "gateway/made_stale.hpp"
#include "gateway/own_query.hpp"

namespace millrace::gateway {
namespace {

using catalog::Oid;
using integration::ChangeStreamParts;

/// A server with very many tables takes seconds.
constexpr auto query_limit = std::chrono::seconds(60);

config::DatabaseUrl url_of(const Shared& shared, std::string database) {
  auto url = shared.rules.load()->settings->database_url;
  url.database = std::move(database);
  return url;
}

asio::awaitable<ChangeStreamParts::Opened> open(asio::io_context* io, Shared* shared,
                                                const ChangeStreams::Missing* missing, std::string database) {
  const auto url = url_of(*shared, database);
  const auto pool = shared->pools.get(url.user, url.database, backend::Pools::Purpose::own);
  const auto startup = pool->intern(
      {{"user", url.user}, {"database", url.database}, {"replication", "database"}, {"application_name", "millrace"}});
  auto opened = co_await pool->open_apart(*io, startup, credential_of(url));
  if (!opened && opened.error().error.sqlstate == no_such_database) (*missing)(database);
  co_return opened;
}

asio::awaitable<ChangeStreamParts::Rows> ask(asio::io_context* io, Shared* shared,
                                             const ChangeStreams::Missing* missing, std::string database,
                                             std::string sql) {
  auto answer = co_await own_query(*io, shared->pools, url_of(*shared, database), std::move(sql), {}, query_limit);
  if (!answer && answer.error().sqlstate == no_such_database) (*missing)(database);
  co_return answer;
}

asio::awaitable<bool> confirm(std::shared_ptr<catalog::Catalog> catalog) {
  co_return catalog == nullptr || co_await catalog->confirm();
}

/// Whether the catalog doesn't know the table as it is.
bool is_other(const integration::Table& told, const catalog::Snapshot& snapshot) {
  const auto* known = snapshot.find(told.oid);
  if (known == nullptr || known->name != told.name || known->schema != told.schema) return true;
  return !std::ranges::all_of(told.columns, [&](const auto& column) {
    return std::ranges::any_of(
        known->columns, [&](const auto& other) { return other.name == column.name && other.type == column.type; });
  });
}

/// What of it isn't to be kept until others see the change: whichever of its rows it reads.
std::vector<cache::Dependency> touched_by(const integration::Transaction& done, std::string_view database,
                                          const catalog::Snapshot* snapshot) {
  std::vector<cache::Dependency> dependencies;
  if (done.everything) dependencies.push_back(pipeline::ReadCache::of_everything(database));
  std::vector<Oid> tables;
  for (const Oid table : done.tables) add_with_ancestors(tables, table, snapshot);
  for (const Oid table : tables) dependencies.push_back(pipeline::ReadCache::of_table(database, table));
  return dependencies;
}

/// Who registers a column, sees the versions and then asks whether all is visible: either it is told here that its
/// column is tracked, or it is told there that the change isn't visible, as of a column that is tracked since then its
/// values aren't gone by.
void make_stale(pipeline::ReadCache& reads, integration::Freshness& freshness, catalog::Catalog* catalog,
                integration::RowReader& rows, const std::string& database, const integration::Transaction& done) {
  const auto snapshot = catalog == nullptr ? nullptr : catalog->current();
  freshness.committed(done.xid, touched_by(done, database, snapshot.get()));
  auto& counted = reads.invalidations();
  for (const Oid table : done.tables) counted.add(database, table, pipeline::InvalidationReason::change_stream);
  if (done.everything) counted.add(database, 0, pipeline::InvalidationReason::change_stream);
  const auto columns = reads.tracked_columns().count();
  const auto stale = made_stale_by(done, database, snapshot.get(), reads.tracked_columns(), rows.values());
  for (const auto dependency : stale) reads.versions().changed(dependency);
  freshness.told(done.xid, stale, columns);
  rows.look();
  // DDL isn't told, but a table that has changed is described anew with its next row.
  if (snapshot && std::ranges::any_of(done.described, [&](const auto& table) { return is_other(*table, *snapshot); })) {
    catalog->ddl_passed();
  }
}

}  // namespace

void ChangeStreams::start(const std::string& database, CatalogOf catalog) {
  if (!shared_.rules.load()->settings->enable_change_stream) return;
  const std::lock_guard lock(mutex_);
  if (stopped_ || streams_.contains(database)) return;
  auto* const reads = shared_.read_cache.get();
  const auto freshness = reads->freshness(database);
  auto& logged = logged_[database];
  if (!logged) logged = std::make_shared<std::string>();
  const auto query = [io = &io_, shared = &shared_, missing = &missing_, database](std::string sql) {
    return ask(io, shared, missing, database, std::move(sql));
  };
  constexpr std::size_t bytes_a_row = 40;
  const auto mb = static_cast<std::size_t>(shared_.rules.load()->settings->change_stream_row_values_mb);
  const auto rows = std::make_shared<integration::RowReader>(io_, query, freshness, (mb << 20) / bytes_a_row);
  const auto apply = [reads, database](const pipeline::Changes& changes) {
    reads->apply(changes, database, pipeline::InvalidationReason::gap);
  };
  ChangeStreamParts parts{
      .open = [io = &io_, shared = &shared_, missing = &missing_,
               database] { return open(io, shared, missing, database); },
      .query = query,
      .logged = logged,
      .most_retained =
          [shared = &shared_] {
            return static_cast<std::uint64_t>(shared->rules.load()->settings->change_stream_max_retained_mb) << 20;
          },
      .confirm_catalogs = [catalog] { return confirm(catalog()); },
      .out_of_reach = [shared = &shared_] { return shared->pools.address()->breaker->refuses(); },
      .freshness = freshness,
      .on_another = [shared = &shared_, database] { shared->pools.retire_own(database); },
      .committed =
          [reads, freshness, catalog, rows, database](const integration::Transaction& done) {
            make_stale(*reads, *freshness, catalog().get(), *rows, database, done);
          },
      .everything_may_have_changed =
          [apply, rows] {
            rows->values().forget_all();
            pipeline::Changes changes;
            changes.everything = true;
            apply(changes);
          },
      .tables_may_have_changed =
          [apply, catalog, rows](std::span<const Oid> tables) {
            for (const Oid table : tables) rows->values().forget(table);
            const auto known = catalog();
            const auto snapshot = known ? known->current() : nullptr;
            pipeline::Changes changes;
            for (const Oid table : tables) add_with_ancestors(changes.tables, table, snapshot.get());
            apply(changes);
          },
  };
  streams_[database] = {.stream = integration::ChangeStream::start(io_, std::move(parts), database), .rows = rows};
}

void ChangeStreams::end(const std::string& database, std::function<void()> done) {
  std::shared_ptr<integration::ChangeStream> stream;
  {
    const std::lock_guard lock(mutex_);
    const auto found = streams_.find(database);
    if (found != streams_.end()) {
      stream = found->second.stream;
      found->second.rows->stop();
      streams_.erase(found);
      std::erase_if(ending_, [](const auto& other) { return other.expired(); });
      ending_.push_back(stream);
    }
  }
  if (!stream) return done();
  stream->stop(std::move(done));
}

void ChangeStreams::look(const std::string& database) {
  const std::lock_guard lock(mutex_);
  if (const auto found = streams_.find(database); found != streams_.end()) found->second.stream->look();
}

void ChangeStreams::reconnect() {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, one] : streams_) one.stream->reconnect();
}

void ChangeStreams::lose() {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, one] : streams_) one.stream->lose();
}

std::vector<integration::StreamStatus> ChangeStreams::status() const {
  const std::lock_guard lock(mutex_);
  std::vector<integration::StreamStatus> all;
  for (const auto& [name, one] : streams_) {
    all.push_back(one.stream->status());
    all.back().rows_known = one.rows->values().rows();
  }
  return all;
}

void ChangeStreams::stop(std::function<void()> done) {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  // Calls `done` when the last copy is gone.
  const std::shared_ptr<void> last(nullptr, [done = std::move(done)](void*) { done(); });
  for (const auto& [name, one] : streams_) {
    one.rows->stop();
    one.stream->stop([last] {});
  }
  for (const auto& ending : ending_) {
    if (const auto stream = ending.lock()) stream->stop([last] {});
  }
}

}  // namespace millrace::gateway
