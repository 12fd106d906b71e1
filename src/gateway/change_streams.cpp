#include "gateway/change_streams.hpp"

#include "gateway/core.hpp"
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

asio::awaitable<ChangeStreamParts::Opened> open(asio::io_context* io, Shared* shared, std::string database) {
  const auto url = url_of(*shared, std::move(database));
  const auto pool = shared->pools.get(url.user, url.database, backend::Pools::Purpose::own);
  const auto startup = pool->intern(
      {{"user", url.user}, {"database", url.database}, {"replication", "database"}, {"application_name", "millrace"}});
  pgwire::ServerCredential credential;
  if (!url.password.empty()) credential = pgwire::PlainPassword{url.password};
  co_return co_await pool->open_apart(*io, startup, std::move(credential));
}

asio::awaitable<ChangeStreamParts::Rows> ask(asio::io_context* io, Shared* shared, std::string database,
                                             std::string sql) {
  co_return co_await own_query(*io, shared->pools, url_of(*shared, std::move(database)), std::move(sql), {},
                               query_limit);
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

/// With those above it, whose readers see its rows.
void add_with_ancestors(std::vector<Oid>& tables, Oid table, const catalog::Snapshot* snapshot) {
  if (std::ranges::find(tables, table) != tables.end()) return;
  tables.push_back(table);
  const auto* relation = snapshot == nullptr ? nullptr : snapshot->find(table);
  if (relation == nullptr) return;
  for (const Oid parent : relation->parents) add_with_ancestors(tables, parent, snapshot);
}

void make_stale(pipeline::ReadCache& reads, catalog::Catalog& catalog, const std::string& database,
                const integration::Transaction& done) {
  const auto snapshot = catalog.current();
  pipeline::Changes changes;
  changes.everything = done.everything;
  for (const Oid table : done.tables) add_with_ancestors(changes.tables, table, snapshot.get());
  reads.apply(changes, database);
  // DDL isn't told, but a table that has changed is described anew with its next row.
  if (snapshot && std::ranges::any_of(done.described, [&](const auto& table) { return is_other(*table, *snapshot); })) {
    catalog.ddl_passed();
  }
}

}  // namespace

void ChangeStreams::start(const std::string& database, std::shared_ptr<catalog::Catalog> catalog) {
  if (!shared_.rules.load()->settings->enable_change_stream) return;
  const std::lock_guard lock(mutex_);
  if (stopped_ || streams_.contains(database)) return;
  auto* const reads = shared_.read_cache.get();
  const auto apply = [reads, database](const pipeline::Changes& changes) { reads->apply(changes, database); };
  ChangeStreamParts parts{
      .open = [io = &io_, shared = &shared_, database] { return open(io, shared, database); },
      .query = [io = &io_, shared = &shared_,
                database](std::string sql) { return ask(io, shared, database, std::move(sql)); },
      .committed = [reads, catalog,
                    database](const integration::Transaction& done) { make_stale(*reads, *catalog, database, done); },
      .everything_may_have_changed =
          [apply] {
            pipeline::Changes changes;
            changes.everything = true;
            apply(changes);
          },
      .tables_may_have_changed =
          [apply, catalog](std::span<const Oid> tables) {
            const auto snapshot = catalog->current();
            pipeline::Changes changes;
            for (const Oid table : tables) add_with_ancestors(changes.tables, table, snapshot.get());
            apply(changes);
          },
  };
  streams_[database] = integration::ChangeStream::start(io_, std::move(parts), database);
}

void ChangeStreams::look(const std::string& database) {
  const std::lock_guard lock(mutex_);
  if (const auto found = streams_.find(database); found != streams_.end()) found->second->look();
}

void ChangeStreams::reconnect() {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, stream] : streams_) stream->reconnect();
}

std::vector<integration::StreamStatus> ChangeStreams::status() const {
  const std::lock_guard lock(mutex_);
  std::vector<integration::StreamStatus> all;
  for (const auto& [name, stream] : streams_) all.push_back(stream->status());
  return all;
}

void ChangeStreams::stop(std::function<void()> done) {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  // Calls `done` when the last copy is gone.
  const std::shared_ptr<void> last(nullptr, [done = std::move(done)](void*) { done(); });
  for (const auto& [name, stream] : streams_) stream->stop([last] {});
}

}  // namespace millrace::gateway
