#include "gateway/catalogs.hpp"

#include "gateway/core.hpp"
#include "gateway/own_query.hpp"

namespace millrace::gateway {
namespace {

/// A server with very many tables takes seconds.
constexpr auto query_limit = std::chrono::seconds(60);

asio::awaitable<Result<std::vector<catalog::Row>>> ask(asio::io_context* io, Shared* shared, std::string database,
                                                       std::string sql, std::vector<std::string> parameters) {
  auto url = shared->rules.load()->settings->database_url;
  url.database = std::move(database);
  co_return co_await own_query(*io, shared->pools, std::move(url), std::move(sql), std::move(parameters), query_limit);
}

}  // namespace

Catalogs::~Catalogs() {
  stop();
  workers_.join();
}

std::shared_ptr<const pipeline::CatalogSource> Catalogs::of(const std::string& database, bool starts) {
  if (starts) start(database);
  return std::make_shared<const pipeline::CatalogSource>(pipeline::CatalogSource{
      .current =
          [this, database] {
            const auto known = find(database);
            return known ? known->current() : nullptr;
          },
      .hold =
          [this, database] {
            const auto known = find(database);
            return known ? known->hold() : nullptr;
          },
  });
}

std::shared_ptr<catalog::Catalog> Catalogs::find(const std::string& database) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(database);
  return found == known_.end() ? nullptr : found->second;
}

void Catalogs::start(const std::string& database) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || known_.contains(database)) return;
  auto query = [io = &io_, shared = &shared_, database](std::string sql, std::vector<std::string> parameters) {
    return ask(io, shared, database, std::move(sql), std::move(parameters));
  };
  auto changed = [this, database, catalog = pipeline::ReadCache::of_catalog(database)] {
    shared_.read_cache->versions().changed(catalog);
    streams_.look(database);
  };
  const auto catalog =
      catalog::Catalog::start(io_, workers_.get_executor(), std::move(query), std::move(changed), database);
  known_[database] = catalog;
  streams_.start(database, catalog);
}

/// A view stands for what it reads: it has no rows of its own, so whoever means it is served by the whole database.
std::vector<cache::Dependency> Catalogs::tables_of(std::string_view name) {
  const std::lock_guard lock(mutex_);
  std::vector<cache::Dependency> dependencies;
  for (const auto& [database, catalog] : known_) {
    const auto snapshot = catalog->current();
    if (!snapshot) {
      dependencies.push_back(pipeline::ReadCache::of_everything(database));
      continue;
    }
    for (const auto& relation : snapshot->relations()) {
      if (relation.name != name && relation.schema + "." + relation.name != name) continue;
      dependencies.push_back(relation.kind == 'v' ? pipeline::ReadCache::of_everything(database)
                                                  : pipeline::ReadCache::of_table(database, relation.oid));
      for (const auto below : snapshot->read_with(relation.oid)) {
        dependencies.push_back(pipeline::ReadCache::of_table(database, below));
      }
    }
  }
  return dependencies;
}

void Catalogs::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (const auto& [name, catalog] : known_) catalog->stop();
}

}  // namespace millrace::gateway
