#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cache/intelligent_cache_manager.hpp"
#include "catalog/snapshot.hpp"
#include "pipeline/flights.hpp"
#include "pipeline/scope.hpp"

namespace millrace::pipeline {

/// What a statement that isn't known to only read may have changed; until the transaction ends that did.
struct Changes {
  std::vector<catalog::Oid> tables;
  bool everything = false;              ///< any table
  bool unseen = false;                  ///< nobody kept answers then: any table, if somebody does now
  std::shared_ptr<const void> catalog;  ///< of `CatalogSource::hold`: what names mean; null: nothing of it

  bool any() const { return everything || unseen || catalog || !tables.empty(); }
  void clear() {
    tables.clear();
    everything = unseen = false;
    catalog.reset();
  }
};

/// What the pipelines of all cores share to answer reads from memory. Thread-safe.
class ReadCache {
 public:
  /// `starts`: whether they are to be read and watched from now on.
  using Catalogs = std::function<std::shared_ptr<const CatalogSource>(const std::string& database, bool starts)>;

  /// `ttl`: how long an answer may be given again, where nobody says.
  ReadCache(std::shared_ptr<cache::IntelligentCacheManager> manager, std::chrono::nanoseconds ttl);

  /// Before the first query.
  void use(Catalogs catalogs) { catalogs_ = std::move(catalogs); }

  cache::IntelligentCacheManager& manager() { return *manager_; }
  cache::Versions& versions() { return manager_->versions(); }
  cache::L1Cache& l1() { return manager_->l1(); }
  Flights& flights() { return flights_; }
  /// Of answers to come, where nobody says.
  void set_ttl(std::chrono::nanoseconds ttl) { ttl_ = ttl; }
  std::chrono::nanoseconds ttl() const { return ttl_.load(std::memory_order_relaxed); }

  /// The one scope of all that are equal to it but for the number. `wanted`'s source and dependencies are filled in.
  std::shared_ptr<const Scope> share(Scope wanted);

  /// For who only looks: as a session of this scope, that nobody has. It has no number, so nothing is kept under it.
  /// `starts`: the database's catalogs are to be read and watched from now on.
  Scope unshared(Scope wanted, bool starts) const;

  /// They are committed, or nobody knows: from now on nothing is answered that they may have made stale.
  void apply(const Changes& changes, std::string_view database);
  /// Whether any answer was ever kept, or is about to be: before, nobody needs to know what changes.
  bool in_use() const { return in_use_.load(std::memory_order_acquire); }
  void begin_use() {
    if (!in_use()) in_use_.store(true, std::memory_order_seq_cst);
  }
  /// Grows when new server connections may begin otherwise than those that are open: a role's defaults, another server.
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  void begin_epoch() { epoch_.fetch_add(1, std::memory_order_acq_rel); }
  /// Of another server, say: nothing of what is kept is answered any more.
  void forget_all();

  static cache::Dependency of_table(std::string_view database, catalog::Oid table);
  static cache::Dependency of_catalog(std::string_view database);
  static cache::Dependency of_everything(std::string_view database);
  static cache::Dependency of_tag(std::string_view tag);

  /// How often what wasn't answered from memory wasn't for each reason, by its code. A core adds what it has counted.
  void add_refusals(const std::map<std::string, std::uint64_t, std::less<>>& counted);
  std::map<std::string, std::uint64_t, std::less<>> refusals() const;

 private:
  const std::shared_ptr<cache::IntelligentCacheManager> manager_;
  std::atomic<std::chrono::nanoseconds> ttl_;
  std::atomic<bool> in_use_ = false;
  std::atomic<std::uint64_t> epoch_ = 0;
  Catalogs catalogs_;
  Flights flights_;

  mutable std::mutex mutex_;
  std::uint32_t last_scope_ = 0;
  std::map<std::string, std::shared_ptr<const Scope>, std::less<>> scopes_;
  std::size_t scopes_bytes_ = 0;
  std::map<std::string, std::uint64_t, std::less<>> refusals_;
};

}  // namespace millrace::pipeline
