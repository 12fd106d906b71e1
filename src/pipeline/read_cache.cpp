#include "pipeline/read_cache.hpp"
#include "integration/row_values.hpp"

#include <fmt/format.h>

namespace millrace::pipeline {
namespace {

/// A client can make as many as it likes by what it sets: then all begin anew, under new numbers.
constexpr std::size_t max_scopes = 10'000;
constexpr std::size_t max_scopes_bytes = std::size_t{16} << 20;

std::string identity_of(const Scope& scope) {
  std::string identity(1, scope.wanted ? '+' : '-');
  for (const std::string_view part : {std::string_view(scope.database), std::string_view(scope.user)}) {
    identity.append(part).append(1, '\0');
  }
  return identity + scope.settings;
}

}  // namespace

ReadCache::ReadCache(std::shared_ptr<cache::IntelligentCacheManager> manager, std::chrono::nanoseconds ttl)
    : manager_(std::move(manager)), ttl_(ttl), catalogs_([](const std::string&, bool) {
        return std::make_shared<const CatalogSource>(CatalogSource{[] { return nullptr; }, [] { return nullptr; }});
      }) {}

cache::Dependency ReadCache::of_table(std::string_view database, catalog::Oid table) {
  return cache::Versions::of(fmt::format("table:{}:{}", table, database));
}
cache::Dependency ReadCache::of_unknown_rows(std::string_view database, catalog::Oid table) {
  return cache::Versions::of(fmt::format("whole:{}:{}", table, database));
}
cache::Dependency ReadCache::of_unknown_values(std::string_view database, catalog::Oid table, std::string_view column) {
  return cache::Versions::of(fmt::format("column:{}:{}:{}", table, column, database));
}
cache::Dependency ReadCache::of_value(std::string_view database, catalog::Oid table, std::string_view column,
                                      std::string_view value) {
  return of_value(database, table, column, integration::RowValues::value_of(value));
}
cache::Dependency ReadCache::of_value(std::string_view database, catalog::Oid table, std::string_view column,
                                      std::uint64_t value) {
  return cache::Versions::of(fmt::format("value:{}:{}:{:x}:{}", table, column, value, database));
}
cache::Dependency ReadCache::of_catalog(std::string_view database) {
  return cache::Versions::of(fmt::format("catalog:{}", database));
}
cache::Dependency ReadCache::of_everything(std::string_view database) {
  return cache::Versions::of(fmt::format("database:{}", database));
}
cache::Dependency ReadCache::of_untold(std::string_view database) {
  return cache::Versions::of(fmt::format("untold:{}", database));
}
cache::Dependency ReadCache::of_tag(std::string_view tag) { return cache::Versions::of(fmt::format("tag:{}", tag)); }

std::shared_ptr<const Scope> ReadCache::share(Scope wanted) {
  if (wanted.wanted) begin_use();
  wanted.catalog = of_catalog(wanted.database);
  wanted.everything = of_everything(wanted.database);
  wanted.untold = of_untold(wanted.database);
  auto identity = identity_of(wanted);
  const std::lock_guard lock(mutex_);
  if (const auto found = scopes_.find(identity); found != scopes_.end()) return found->second;
  scopes_bytes_ += 2 * identity.size() + sizeof(Scope);
  if (scopes_.size() >= max_scopes || scopes_bytes_ > max_scopes_bytes) {
    scopes_.clear();
    scopes_bytes_ = 0;
  }
  wanted.number = ++last_scope_;
  wanted.source = catalogs_(wanted.database, wanted.wanted);
  wanted.freshness = freshness(wanted.database);
  auto& wrote = wrote_[{wanted.database, wanted.user}];
  if (!wrote) wrote = std::make_shared<std::atomic<std::int64_t>>(0);
  wanted.wrote = wrote;
  return scopes_.emplace(std::move(identity), std::make_shared<const Scope>(std::move(wanted))).first->second;
}

void ReadCache::forget_scopes(const std::string& database) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(scopes_, [&](const auto& scope) {
      if (scope.second->database != database) return false;
      scopes_bytes_ -= std::min(scopes_bytes_, 2 * scope.first.size() + sizeof(Scope));
      return true;
    });
    std::erase_if(wrote_,
                  [&](const auto& wrote) { return wrote.first.first == database && wrote.second.use_count() == 1; });
  }
  const std::lock_guard lock(freshness_mutex_);
  const auto known = freshness_.find(database);
  if (known != freshness_.end() && known->second.use_count() == 1) freshness_.erase(known);
}

std::shared_ptr<integration::Freshness> ReadCache::freshness(const std::string& database) const {
  const std::lock_guard lock(freshness_mutex_);
  auto& known = freshness_[database];
  if (!known) known = std::make_shared<integration::Freshness>();
  return known;
}

Scope ReadCache::unshared(Scope wanted, bool starts) const {
  wanted.catalog = of_catalog(wanted.database);
  wanted.everything = of_everything(wanted.database);
  wanted.untold = of_untold(wanted.database);
  wanted.source = catalogs_(wanted.database, starts);
  wanted.freshness = freshness(wanted.database);
  return wanted;
}

void ReadCache::apply(const Changes& changes, std::string_view database, InvalidationReason reason) {
  if (changes.catalog) {
    versions().changed(of_catalog(database));
    invalidations_.add(database, 0, InvalidationReason::catalog);
  }
  const bool everything = changes.everything || (changes.unseen && in_use());
  if (everything) invalidations_.add(database, 0, reason);
  if (everything || changes.catalog) versions().changed(of_everything(database));
  for (const auto table : changes.tables) {
    invalidations_.add(database, table, reason);
    versions().changed(of_table(database, table));
    versions().changed(of_unknown_rows(database, table));
  }
}

std::string ReadCache::name_of_table(const std::string& database, catalog::Oid table) const {
  const auto source = catalogs_(database, false);
  const auto snapshot = source ? source->current() : nullptr;
  const auto* const relation = snapshot ? snapshot->find(table) : nullptr;
  return relation == nullptr ? std::string() : relation->schema + "." + relation->name;
}

std::shared_ptr<const std::atomic<std::uint64_t>> ReadCache::epoch_of(const std::string& user) {
  const std::lock_guard lock(mutex_);
  auto& epoch = epochs_[user];
  if (!epoch) epoch = std::make_shared<std::atomic<std::uint64_t>>(0);
  return epoch;
}

bool ReadCache::begin_epoch_of(const std::string& user) {
  const std::lock_guard lock(mutex_);
  const auto found = epochs_.find(user);
  if (found == epochs_.end()) return false;
  found->second->fetch_add(1, std::memory_order_acq_rel);
  return true;
}

void ReadCache::forget_all() { manager_->invalidate(cache::InvalidationScope::global, {}); }

void ReadCache::add_refusals(const std::map<std::string, std::uint64_t, std::less<>>& counted) {
  const std::lock_guard lock(mutex_);
  for (const auto& [code, count] : counted) refusals_[code] += count;
}

std::map<std::string, std::uint64_t, std::less<>> ReadCache::refusals() const {
  const std::lock_guard lock(mutex_);
  return refusals_;
}

}  // namespace millrace::pipeline
