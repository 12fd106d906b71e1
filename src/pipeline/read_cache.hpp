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
#include "pipeline/invalidations.hpp"
#include "pipeline/payoff.hpp"
#include "pipeline/scope.hpp"
#include "pipeline/tracked_columns.hpp"

namespace millrace::pipeline {

/// What a statement that isn't known to only read may have changed; until the transaction ends that did.
struct Changes {
  std::vector<catalog::Oid> tables;
  bool everything = false;              ///< any table
  bool opaque = false;                  ///< nobody knows what ran: it may be DDL, too
  bool unseen = false;                  ///< nobody kept answers then: any table, if somebody does now
  std::shared_ptr<const void> catalog;  ///< of `CatalogSource::hold`: what names mean; null: nothing of it
  std::vector<std::shared_ptr<const void>> databases = {};  ///< of `ReadCache::let_go`

  bool any() const { return everything || unseen || catalog || !tables.empty(); }
  void clear() {
    tables.clear();
    everything = opaque = unseen = false;
    catalog.reset();
    databases.clear();
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
  /// `follow`: null: changes aren't followed.
  void use(Catalogs catalogs, std::function<void(const std::string& database)> follow = {}) {
    catalogs_ = std::move(catalogs);
    follow_ = std::move(follow);
  }
  bool follows_changes() const { return follow_ != nullptr; }
  /// A session's level needs what is committed in the database to be followed.
  void follow(const std::string& database) const {
    if (follow_) follow_(database);
  }

  /// For a statement of `user`'s that wants these databases unused. If the user may have the right to it, in whichever
  /// of its roles: Millrace's own connections to them end, what is kept of them is stale, and neither begins anew while
  /// the answer lives.
  struct LetGo {
    std::shared_ptr<const void> until = {};  ///< null: nothing is kept of any database
    bool waits = false;                      ///< for that: then `ended` is called, once, on some thread
  };
  using LettingGo = std::function<LetGo(const std::vector<std::string>& databases, const std::string& user,
                                        std::function<void()> ended)>;
  /// Before the first query.
  void use_letting_go(LettingGo let_go) { let_go_ = std::move(let_go); }
  bool lets_go() const { return let_go_ != nullptr; }
  LetGo let_go(const std::vector<std::string>& databases, const std::string& user, std::function<void()> ended) const {
    return let_go_ ? let_go_(databases, user, std::move(ended)) : LetGo{};
  }
  static constexpr auto longest_letting_go = std::chrono::seconds(3);

  cache::IntelligentCacheManager& manager() { return *manager_; }
  cache::Versions& versions() { return manager_->versions(); }
  cache::L1Cache& l1() { return manager_->l1(); }
  Flights& flights() { return flights_; }
  TrackedColumns& tracked_columns() { return tracked_columns_; }
  Payoffs& payoffs() { return payoffs_; }
  /// Of answers to come, where nobody says.
  void set_ttl(std::chrono::nanoseconds ttl) { ttl_ = ttl; }
  std::chrono::nanoseconds ttl() const { return ttl_.load(std::memory_order_relaxed); }

  /// The one scope of all that are equal to it but for the number. `wanted`'s source and dependencies are filled in.
  std::shared_ptr<const Scope> share(Scope wanted);

  /// Nobody uses the database any more: what isn't held by anybody else is known no longer.
  void forget_scopes(const std::string& database);

  /// For who only looks: as a session of this scope, that nobody has. It has no number, so nothing is kept under it.
  /// `starts`: the database's catalogs are to be read and watched from now on.
  Scope unshared(Scope wanted, bool starts) const;

  /// Of a database; never null, and the same one as long as anybody holds it.
  std::shared_ptr<integration::Freshness> freshness(const std::string& database) const;
  /// How stale an answer of the level `bounded` may be, where nobody says.
  void set_bound(std::chrono::milliseconds bound) { bound_ = bound; }
  std::chrono::milliseconds bound() const { return bound_.load(std::memory_order_relaxed); }

  /// They are committed, or nobody knows: from now on nothing is answered that they may have made stale.
  void apply(const Changes& changes, std::string_view database, InvalidationReason reason);
  Invalidations& invalidations() { return invalidations_; }
  /// With its schema; "": the catalogs don't know it, or aren't known.
  std::string name_of_table(const std::string& database, catalog::Oid table) const;
  /// Whether any answer was ever kept, or is about to be: before, nobody needs to know what changes.
  bool in_use() const { return in_use_.load(std::memory_order_acquire); }
  void begin_use() {
    if (!in_use()) in_use_.store(true, std::memory_order_seq_cst);
  }
  /// Grows when new server connections may begin otherwise than those that are open: a role's defaults, another server.
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  void begin_epoch() { epoch_.fetch_add(1, std::memory_order_acq_rel); }
  /// The same of one user's server connections; never null, and the same one from then on.
  std::shared_ptr<const std::atomic<std::uint64_t>> epoch_of(const std::string& user);
  /// False: nobody has asked for it, so nothing can be kept of that user.
  bool begin_epoch_of(const std::string& user);
  /// Of another server, say: nothing of what is kept is answered any more.
  void forget_all();

  /// Any change of the table's.
  static cache::Dependency of_table(std::string_view database, catalog::Oid table);
  // What depends on rows with some values of a column depends on each of these three instead:
  /// a change of the table's of which it isn't known which rows it was about,
  static cache::Dependency of_unknown_rows(std::string_view database, catalog::Oid table);
  /// a change of which it isn't known what the column was before or is since,
  static cache::Dependency of_unknown_values(std::string_view database, catalog::Oid table, std::string_view column);
  /// a change of a row in which the column had the value before, or has it since; as PostgreSQL writes it.
  static cache::Dependency of_value(std::string_view database, catalog::Oid table, std::string_view column,
                                    std::string_view value);
  /// The same by the value's `integration::RowValues::value_of`.
  static cache::Dependency of_value(std::string_view database, catalog::Oid table, std::string_view column,
                                    std::uint64_t value);
  static cache::Dependency of_catalog(std::string_view database);
  static cache::Dependency of_everything(std::string_view database);
  /// Any change that isn't known of what the change stream doesn't tell.
  static cache::Dependency of_untold(std::string_view database);
  static cache::Dependency of_tag(std::string_view tag);

  /// How often what wasn't answered from memory wasn't for each reason, by its code. A core adds what it has counted.
  void add_refusals(const std::map<std::string, std::uint64_t, std::less<>>& counted);
  std::map<std::string, std::uint64_t, std::less<>> refusals() const;

 private:
  const std::shared_ptr<cache::IntelligentCacheManager> manager_;
  std::atomic<std::chrono::nanoseconds> ttl_;
  std::atomic<std::chrono::milliseconds> bound_ = std::chrono::milliseconds(1000);
  std::atomic<bool> in_use_ = false;
  std::atomic<std::uint64_t> epoch_ = 0;
  std::map<std::string, std::shared_ptr<std::atomic<std::uint64_t>>> epochs_;  ///< of users, guarded by `mutex_`
  Catalogs catalogs_;
  std::function<void(const std::string& database)> follow_;
  LettingGo let_go_;
  Flights flights_;
  TrackedColumns tracked_columns_;
  Invalidations invalidations_;
  Payoffs payoffs_;

  mutable std::mutex mutex_;
  std::uint32_t last_scope_ = 0;
  std::map<std::string, std::shared_ptr<const Scope>, std::less<>> scopes_;
  std::size_t scopes_bytes_ = 0;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<std::atomic<std::int64_t>>>
      wrote_;  ///< by database, user
  std::map<std::string, std::uint64_t, std::less<>> refusals_;

  mutable std::mutex freshness_mutex_;
  mutable std::map<std::string, std::shared_ptr<integration::Freshness>, std::less<>> freshness_;
};

}  // namespace millrace::pipeline
