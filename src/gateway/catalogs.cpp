#include "gateway/catalogs.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "gateway/core.hpp"
#include "gateway/made_stale.hpp"
#include "gateway/new_sessions.hpp"
#include "gateway/own_query.hpp"

namespace millrace::gateway {
namespace {

/// A server with very many tables takes seconds.
constexpr auto query_limit = std::chrono::seconds(60);
/// Nobody has used a database for so long, or for as long as an unused server connection is kept: it is given up, and
/// may be dropped past Millrace.
constexpr auto longest_unused = std::chrono::seconds(60);
/// And for so long: nothing is known of it any more.
constexpr auto worth_remembering = std::chrono::minutes(10);
/// While clients are connected to a database that isn't there.
constexpr auto retry_missing = std::chrono::seconds(2);
/// PostgreSQL itself waits for the end of such connections, if not for that of the stream's.
constexpr auto patience_for_own = std::chrono::seconds(1);
constexpr auto between_looks = std::chrono::milliseconds(5);
constexpr auto patience_for_rights = std::chrono::seconds(1);
/// Each database, with whether this user may want it unused, and one that isn't there: in whichever of its roles, as
/// SET ROLE is the client's to say.
constexpr std::string_view rights_sql =
    "SELECT d.datname,"
    " pg_catalog.bool_or(r.rolsuper OR r.oid = d.datdba OR r.rolcreatedb AND d.datistemplate),"
    " pg_catalog.bool_or(r.rolsuper OR r.rolcreatedb)"
    " FROM pg_catalog.pg_database d, pg_catalog.pg_roles r, pg_catalog.pg_roles u"
    " WHERE u.rolname = $1 AND pg_catalog.pg_has_role(u.oid, r.oid, 'MEMBER') GROUP BY d.datname";

}  // namespace

Catalogs::Catalogs(boost::asio::io_context& io, Shared& shared)
    : io_(io), shared_(shared), streams_(io, shared, [this](const std::string& database) { on_missing(database); }) {}

Catalogs::~Catalogs() {
  stop();
  workers_.join();
}

std::shared_ptr<const pipeline::CatalogSource> Catalogs::of(const std::string& database, bool starts) {
  if (starts) {
    const std::lock_guard lock(mutex_);
    auto& known = databases_[database];
    known.is_read = known.is_followed = true;
    known.used = Clock::now();
    open(database, known);
  }
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

void Catalogs::follow(const std::string& database) {
  const std::lock_guard lock(mutex_);
  auto& known = databases_[database];
  known.is_followed = true;
  known.used = Clock::now();
  open(database, known);
}

std::shared_ptr<catalog::Catalog> Catalogs::find(const std::string& database) {
  const std::lock_guard lock(mutex_);
  const auto found = databases_.find(database);
  return found == databases_.end() ? nullptr : found->second.catalog;
}

asio::awaitable<Result<std::vector<catalog::Row>>> Catalogs::ask(std::string database, std::string sql,
                                                                 std::vector<std::string> parameters) {
  auto url = shared_.rules.load()->settings->database_url;
  url.database = database;
  auto rows =
      co_await own_query(io_, shared_.pools, std::move(url), std::move(sql), std::move(parameters), query_limit);
  if (!rows && rows.error().sqlstate == no_such_database) on_missing(database);
  co_return rows;
}

std::shared_ptr<catalog::Catalog> Catalogs::start(const std::string& database) {
  auto query = [this, database](std::string sql, std::vector<std::string> parameters) {
    return ask(database, std::move(sql), std::move(parameters));
  };
  auto changed = [this, database, catalog = pipeline::ReadCache::of_catalog(database)] {
    shared_.read_cache->versions().changed(catalog);
    shared_.read_cache->invalidations().add(database, 0, pipeline::InvalidationReason::catalog);
    streams_.look(database);
  };
  auto written = [this, database](std::span<const catalog::Oid> relations, const catalog::Snapshot& known) {
    shared_.read_cache->apply(changed_by_written(relations, known), database, pipeline::InvalidationReason::catalog);
  };
  auto out_of_reach = [this, freshness = shared_.read_cache->freshness(database)] {
    return shared_.pools.address()->breaker->refuses() || freshness->is_frozen();
  };
  auto read = [this](const catalog::Snapshot& before, const catalog::Snapshot& now) {
    begin_anew(shared_, catalog::who_begins_otherwise(before.session_defaults, now.session_defaults));
  };
  return catalog::Catalog::start(io_, workers_.get_executor(), std::move(query), std::move(changed), std::move(written),
                                 database, {}, std::move(out_of_reach), std::move(read));
}

void Catalogs::open(const std::string& name, Database& database) {
  if (stopped_ || database.holds > 0 || database.is_ending || Clock::now() < database.not_before) return;
  if (database.is_read && !database.catalog) {
    database.catalog = start(name);
  } else if (database.catalog) {
    database.catalog->resume();
  }
  if (database.is_followed) streams_.start(name, [this, name] { return find(name); });
  database.is_open = true;
}

void Catalogs::give_up(const std::string& name, Database& database) {
  make_stale(name);
  if (!std::exchange(database.is_open, false)) return;
  if (database.catalog) database.catalog->pause();
  database.is_ending = true;
  asio::co_spawn(io_, end(name), asio::detached);
}

void Catalogs::make_stale(const std::string& name) {
  auto& versions = shared_.read_cache->versions();
  versions.changed(pipeline::ReadCache::of_catalog(name));
  versions.changed(pipeline::ReadCache::of_everything(name));
  shared_.read_cache->invalidations().add(name, 0, pipeline::InvalidationReason::gap);
}

asio::awaitable<void> Catalogs::end_own(std::string name) {
  shared_.pools.retire_own(name);
  asio::steady_timer timer(io_);
  const auto until = Clock::now() + patience_for_own;
  while (!shared_.pools.own_unused(name) && Clock::now() < until) {
    timer.expires_after(between_looks);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> Catalogs::end(std::string name) {
  const auto ended = std::make_shared<net::Signal>(io_);
  streams_.end(name, [ended, &io = io_] { asio::post(io, [ended] { ended->set(); }); });
  co_await ended->wait(std::chrono::hours(24));
  co_await end_own(name);
  std::vector<std::function<void()>> on_ended;
  {
    const std::lock_guard lock(mutex_);
    auto& database = databases_[name];
    database.is_ending = false;
    on_ended.swap(database.on_ended);
  }
  for (const auto& then : on_ended) then();
}

pipeline::ReadCache::LetGo Catalogs::let_go(const std::vector<std::string>& names, const std::string& user,
                                            std::function<void()> ended) {
  const auto hold = std::make_shared<Hold>();
  asio::co_spawn(io_, let_go_if_allowed(names, user, hold, std::move(ended)), asio::detached);
  return {.until = {static_cast<const void*>(hold.get()), [this, hold](const void*) { begin_again(*hold); }},
          .waits = true};
}

/// Who may neither drop a database nor make one isn't to end what serves everybody else. All of them where nobody
/// knows: what PostgreSQL refuses is begun again, and what it would do isn't to fail for Millrace.
asio::awaitable<std::vector<std::string>> Catalogs::may_want_unused(std::vector<std::string> names, std::string user) {
  auto url = shared_.rules.load()->settings->database_url;
  const auto rows = co_await own_query(io_, shared_.pools, std::move(url), std::string(rights_sql), {std::move(user)},
                                       patience_for_rights);
  if (!rows || rows->empty()) co_return names;
  const auto is_true = [](const std::optional<std::string>& value) { return value == "t"; };
  const auto is_plain = [](std::string_view name) {
    return std::ranges::all_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  };
  const bool makes = std::ranges::any_of(*rows, [&](const auto& row) { return is_true(row[2]); });
  const bool has_any = makes || std::ranges::any_of(*rows, [&](const auto& row) { return is_true(row[1]); });
  std::erase_if(names, [&](const std::string& name) {
    // The client may write it in another encoding.
    if (!is_plain(name)) return !has_any;
    const auto known = std::ranges::find(*rows, name, [](const auto& row) { return row[0].value_or(""); });
    return known == rows->end() ? !makes : !is_true((*known)[1]);
  });
  co_return names;
}

asio::awaitable<void> Catalogs::let_go_if_allowed(std::vector<std::string> names, std::string user,
                                                  std::shared_ptr<Hold> hold, std::function<void()> ended) {
  // Calls `ended` when the last copy is gone.
  const std::shared_ptr<const void> last(&shared_, [ended = std::move(ended)](const void*) { ended(); });
  names = co_await may_want_unused(std::move(names), std::move(user));
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) co_return;
    for (const auto& name : names) {
      // It may have been done without waiting any longer.
      if (hold->is_over) {
        make_stale(name);
        continue;
      }
      auto& database = databases_[name];
      ++database.holds;
      hold->names.push_back(name);
      give_up(name, database);
      if (database.is_ending) database.on_ended.emplace_back([last] {});
    }
    if (hold->is_over) co_return;
  }
  for (const auto& name : names) shared_.pools.retire(name);
  // Also of one that isn't followed: its rights were asked for in DATABASE_URL's.
  for (const auto& name : names) co_await end_own(name);
}

bool Catalogs::is_wanted_unused(const std::string& database) {
  const std::lock_guard lock(mutex_);
  const auto found = databases_.find(database);
  return found != databases_.end() && found->second.holds > 0;
}

/// By the next tick: nothing that it does may be done by whoever is called here.
void Catalogs::begin_again(Hold& hold) {
  const std::lock_guard lock(mutex_);
  hold.is_over = true;
  for (const auto& name : hold.names) {
    auto& database = databases_[name];
    --database.holds;
    database.used = Clock::now();
    database.not_before = {};
    // Nobody but who wanted it unused has ever said its name.
    if (!database.is_read && !database.is_followed && !database.is_ending && database.holds == 0)
      databases_.erase(name);
  }
}

void Catalogs::on_missing(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = databases_.find(name);
  if (found == databases_.end()) return;
  found->second.not_before = Clock::now() + retry_missing;
  if (found->second.is_open) give_up(name, found->second);
}

void Catalogs::tick(TimePoint now) {
  std::vector<std::string> forgotten;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    for (auto& [name, database] : databases_) {
      if (!is_worth_knowing(name, database, now)) forgotten.push_back(name);
    }
    for (const auto& name : forgotten) {
      if (const auto& catalog = databases_[name].catalog) catalog->stop();
      databases_.erase(name);
    }
  }
  for (const auto& name : forgotten) shared_.read_cache->forget_scopes(name);
}

bool Catalogs::is_worth_knowing(const std::string& name, Database& database, TimePoint now) {
  const auto use = shared_.database_users.of(name);
  if (use.users > 0) {
    database.used = now;
    if (!database.is_open) open(name, database);
    return true;
  }
  const auto unused = now - std::max(database.used, use.last);
  const auto kept = shared_.rules.load()->settings->pool_idle_timeout_seconds;
  if (unused <= (kept.count() == 0 ? longest_unused : std::min(longest_unused, kept))) return true;
  if (database.is_open) give_up(name, database);
  return unused <= worth_remembering || database.is_ending || database.holds > 0;
}

/// A view stands for what it reads: it has no rows of its own, so whoever means it is served by the whole database.
std::vector<cache::Dependency> Catalogs::tables_of(std::string_view name) {
  const std::lock_guard lock(mutex_);
  std::vector<cache::Dependency> dependencies;
  for (const auto& [database, known] : databases_) {
    if (!known.catalog) continue;
    const auto snapshot = known.catalog->current();
    if (!snapshot) {
      dependencies.push_back(pipeline::ReadCache::of_everything(database));
      continue;
    }
    for (const auto& relation : snapshot->relations()) {
      if (relation.name != name && relation.schema + "." + relation.name != name) continue;
      if (relation.kind == 'v') dependencies.push_back(pipeline::ReadCache::of_everything(database));
      for (const auto table : snapshot->read_with(relation.oid)) {
        dependencies.push_back(pipeline::ReadCache::of_table(database, table));
        dependencies.push_back(pipeline::ReadCache::of_unknown_rows(database, table));
      }
    }
  }
  return dependencies;
}

asio::awaitable<bool> Catalogs::confirm(std::string database) {
  const auto known = find(database);
  co_return known&& co_await known->confirm();
}

void Catalogs::read_again() {
  std::vector<std::shared_ptr<catalog::Catalog>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, known] : databases_) {
      if (known.catalog) all.push_back(known.catalog);
    }
  }
  for (const auto& one : all) one->ddl_passed();
  streams_.reconnect();
}

void Catalogs::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  for (const auto& [name, known] : databases_) {
    if (known.catalog) known.catalog->stop();
  }
}

}  // namespace millrace::gateway
