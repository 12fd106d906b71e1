#include "pipeline/read_cache.hpp"

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
cache::Dependency ReadCache::of_catalog(std::string_view database) {
  return cache::Versions::of(fmt::format("catalog:{}", database));
}
cache::Dependency ReadCache::of_everything(std::string_view database) {
  return cache::Versions::of(fmt::format("database:{}", database));
}

cache::Dependency ReadCache::of_tag(std::string_view tag) { return cache::Versions::of(fmt::format("tag:{}", tag)); }

std::shared_ptr<const Scope> ReadCache::share(Scope wanted) {
  if (wanted.wanted) begin_use();
  wanted.catalog = of_catalog(wanted.database);
  wanted.everything = of_everything(wanted.database);
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
  return scopes_.emplace(std::move(identity), std::make_shared<const Scope>(std::move(wanted))).first->second;
}

Scope ReadCache::unshared(Scope wanted, bool starts) const {
  wanted.catalog = of_catalog(wanted.database);
  wanted.everything = of_everything(wanted.database);
  wanted.source = catalogs_(wanted.database, starts);
  return wanted;
}

void ReadCache::apply(const Changes& changes, std::string_view database) {
  if (changes.catalog) versions().changed(of_catalog(database));
  if (changes.everything || changes.catalog || (changes.unseen && in_use()))
    versions().changed(of_everything(database));
  for (const auto table : changes.tables) versions().changed(of_table(database, table));
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
