#include "integration/change_stream.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "base/log.hpp"

namespace millrace::integration {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds patience{30000};
/// A slot begins when all transactions that write have ended.
constexpr std::chrono::hours patience_for_slot(24 * 365);
/// What can't be mended now (somebody holds a lock) is tried again after this.
constexpr milliseconds rest_after_failure{10000};
/// DDL seldom comes alone.
constexpr milliseconds settle{20};
constexpr int most_rounds = 1000;
constexpr std::size_t most_told = 20;

Obstacle obstacle_of(const Error& error) {
  if (error.sqlstate == "53400") {
    return {.reason = "all replication slots are taken",
            .remedy = "ALTER SYSTEM SET max_replication_slots = ... -- more, then restart PostgreSQL"};
  }
  if (error.sqlstate == "53300") {
    return {.reason = "PostgreSQL has no connection to spare",
            .remedy = "ALTER SYSTEM SET max_wal_senders = ... -- more, or max_connections, then restart PostgreSQL"};
  }
  if (error.sqlstate == "28000") return {.reason = "pg_hba.conf doesn't let Millrace's role in"};
  if (error.sqlstate == "42501") return {.reason = "Millrace's role may not use the publications"};
  if (error.sqlstate.empty() || error.sqlstate.starts_with("08") || error.sqlstate.starts_with("57P")) {
    return {.reason = "the connection to PostgreSQL was lost, or can't be had"};
  }
  return {.reason = "PostgreSQL refused, with SQLSTATE " + error.sqlstate};
}

}  // namespace

std::shared_ptr<ChangeStream> ChangeStream::start(asio::io_context& io, ChangeStreamParts parts, std::string database,
                                                  StreamPace pace) {
  std::shared_ptr<ChangeStream> stream(new ChangeStream(io, std::move(parts), std::move(database), pace));
  asio::co_spawn(io, stream->run(), [stream](const std::exception_ptr&) {});
  return stream;
}

ChangeStream::ChangeStream(asio::io_context& io, ChangeStreamParts parts, std::string database, StreamPace pace)
    : io_(io), parts_(std::move(parts)), pace_(pace), wake_(io), retry_(pace.first_retry) {
  status_.database = std::move(database);
}

StreamStatus ChangeStream::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void ChangeStream::look() {
  asio::post(io_, [self = shared_from_this()] {
    self->look_asked_ = true;
    self->wake_.set();
  });
}

void ChangeStream::reconnect() {
  asio::post(io_, [self = shared_from_this()] {
    if (self->connection_) self->connection_->close();
  });
}

void ChangeStream::stop(std::function<void()> done) {
  asio::post(io_, [self = shared_from_this(), done = std::move(done)]() mutable {
    if (self->ended_) return done();
    self->on_stopped_.push_back(std::move(done));
    self->stopped_ = true;
    if (self->connection_) self->connection_->close();
    self->wake_.set();
  });
}

asio::awaitable<void> ChangeStream::run() {
  while (!stopped_) {
    const auto obstacle = co_await follow();
    disconnect();
    if (stopped_) break;
    set_unavailable(obstacle);
    const auto until = Clock::now() + std::exchange(retry_, std::min(retry_ * 2, pace_.last_retry));
    while (!stopped_ && Clock::now() < until) co_await wake_.wait(until - Clock::now());
  }
  co_await drop_publications();
  ended_ = true;
  for (const auto& done : std::exchange(on_stopped_, {})) done();
}

asio::awaitable<Obstacle> ChangeStream::follow() {
  auto obstacle = co_await prepare();
  if (!obstacle) obstacle = co_await begin();
  if (!obstacle) obstacle = co_await keep_up();
  co_return obstacle.value_or(Obstacle{.reason = "stopped"});
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::prepare() {
  const auto answer = co_await parts_.query(requirements_sql());
  if (!answer) co_return obstacle_of(answer.error());
  const auto missing = read_requirements(*answer);
  if (!missing) co_return obstacle_of(missing.error());
  if (*missing) co_return *missing;
  auto opened = co_await parts_.open();
  if (!opened) co_return obstacle_of(opened.error().error);
  connection_ = *std::move(opened);
  process_id_ = connection_->session().process_id;
  if (stopped_) co_return std::nullopt;
  connection_->start_reading();
  const auto registered = co_await connection_->query(register_sql(), {}, patience);
  if (!registered) co_return obstacle_of(registered.error());
  // Before the slot: what a publication is when a slot begins, it must be for the whole of the slot.
  identity_.clear();
  members_.clear();
  members_text_.clear();
  mend_after_ = {};
  for (int round = 0; round < most_rounds && !stopped_; ++round) {
    const auto before = overview_.to_mend;
    if (auto obstacle = co_await look_once()) co_return obstacle;
    if (!identity_.empty() && (overview_.to_mend == 0 || Clock::now() < mend_after_)) break;
    if (round > 1 && overview_.to_mend > before) break;  // the look after the next has what came meanwhile
  }
  co_return std::nullopt;
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::begin() {
  if (stopped_) co_return std::nullopt;
  const auto slot = fmt::format("millrace_{}", process_id_);
  const auto created = co_await connection_->query(
      fmt::format("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT", slot), {},
      patience_for_slot);
  if (!created) co_return obstacle_of(created.error());
  transactions_ = Transactions();
  received_ = 0;
  // The link belongs to this object, and ends before it does.
  link_ = std::make_shared<ReplicationLink>(
      connection_, ReplicationLink::Receiver{
                       .on_data = [this](const XLogData& data, bool whole) { return on_data(data, whole); },
                       .on_keep_alive = [this](const KeepAlive& alive) { on_keep_alive(alive); },
                   });
  link_->on_end([this] { wake_.set(); });
  const auto started = co_await link_->start(fmt::format(
      "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '2', streaming 'on', publication_names '{},{}')", slot,
      changes_publication, inserts_publication));
  if (!started) co_return obstacle_of(started.error());
  // A commit may be in the log before the slot's beginning, and not yet be seen by others: so once more, when all that
  // ran at the next look has ended.
  overview_.next = 0;
  if (auto obstacle = co_await look_once()) co_return obstacle;
  if (overview_.next == 0) co_return Obstacle{.reason = "PostgreSQL has no connection to spare"};
  new_ = {{.before = overview_.next, .everything = true, .tables = {}}};
  parts_.everything_may_have_changed();
  retry_ = pace_.first_retry;
  std::uint64_t starts = 0;
  {
    const std::lock_guard lock(mutex_);
    status_.state = StreamState::live;
    status_.reason.reset();
    status_.remedy.reset();
    starts = ++status_.starts;
    logged_.clear();
  }
  log::info("change stream is live",
            {{"database", status_.database}, {"tables", overview_.followed}, {"starts", starts}});
  co_return std::nullopt;
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::keep_up() {
  auto next_look = Clock::now() + pace_.look;
  while (!stopped_) {
    if (!link_->is_open()) co_return obstacle_of(link_->error());
    const auto now = Clock::now();
    if (now - link_->heard_at() > pace_.lost) {
      co_return Obstacle{.reason = "the server has given no sign of life"};
    }
    if (now >= next_look || look_asked_) {
      look_asked_ = false;
      const auto began = Clock::now();
      if (auto obstacle = co_await look_once()) co_return obstacle;
      tell_what_is_new();
      const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
      // What is new is soon told.
      next_look = Clock::now() + std::max(new_.empty() ? pace_.look : pace_.look / 4, took * pace_.rest);
      link_->acknowledge(received_, Clock::now() - asked_at_ > pace_.ask);
      if (Clock::now() - asked_at_ > pace_.ask) asked_at_ = Clock::now();
    }
    if (stopped_ || !link_->is_open()) continue;
    if (co_await wake_.wait(next_look - Clock::now()) && look_asked_) {
      const auto until = Clock::now() + settle;
      while (!stopped_ && Clock::now() < until) co_await wake_.wait(until - Clock::now());
    }
  }
  co_return std::nullopt;
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::look_once() {
  const auto answer = co_await parts_.query(overview_sql());
  if (!answer) {
    if (!link_) co_return obstacle_of(answer.error());
    co_return std::nullopt;  // what is followed is followed, whether other connections can be had or not
  }
  auto overview = read_overview(*answer);
  if (!overview) co_return obstacle_of(overview.error());
  overview_ = *std::move(overview);
  if (overview_.obstacle) co_return overview_.obstacle;
  {
    const std::lock_guard lock(mutex_);
    status_.tables_followed = overview_.followed;
    status_.tables_unfollowed = overview_.unfollowed;
    status_.lag_bytes = overview_.written > received_ && link_ ? overview_.written - received_ : 0;
  }
  if (!overview_.missing.empty()) {
    if (!identity_.empty()) co_return Obstacle{.reason = "a publication was dropped"};
    for (const auto name : overview_.missing) {
      const auto made = co_await parts_.query(create_sql(name));
      // Another Millrace may have made it just now.
      if (!made && made.error().sqlstate != "42710" && made.error().sqlstate != "23505") {
        co_return obstacle_of(made.error());
      }
    }
    co_return std::nullopt;
  }
  if (identity_.empty()) identity_ = overview_.identity;
  if (identity_ != overview_.identity) co_return Obstacle{.reason = "the publications were changed"};
  if (overview_.members != members_text_) co_await notice_members();
  if ((overview_.to_mend > 0 && Clock::now() >= mend_after_) || overview_.unfollowed != told_unfollowed_) {
    co_await mend_tables();
  }
  co_return std::nullopt;
}

asio::awaitable<void> ChangeStream::mend_tables() {
  using enum TableToMend::What;
  const auto answer = co_await parts_.query(tables_sql());
  if (!answer) co_return;
  const auto tables = read_tables(*answer);
  bool all = true;
  for (const auto what : {take_out, add_to_changes, add_to_inserts}) {
    std::vector<TableToMend> some;
    std::ranges::copy_if(tables, std::back_inserter(some), [&](const auto& table) { return table.what == what; });
    if (!some.empty() && !co_await mend(what, some)) all = false;
  }
  told_unfollowed_ = overview_.unfollowed;
  if (!all) mend_after_ = Clock::now() + rest_after_failure;
  const std::lock_guard lock(mutex_);
  status_.unfollowed.clear();
  for (const auto& table : tables) {
    if (table.what != add_to_changes && status_.unfollowed.size() < most_told) status_.unfollowed.push_back(table.told);
  }
}

/// Together, or where that fails each by itself; whether all could be.
asio::awaitable<bool> ChangeStream::mend(TableToMend::What what, std::span<const TableToMend> tables) {
  const auto done = co_await parts_.query(mend_sql(what, tables));
  if (done) co_return true;
  bool all = false;
  if (tables.size() > 1) {
    all = true;
    for (const auto& table : tables) {
      if (stopped_) co_return false;
      if (!co_await parts_.query(mend_sql(what, {&table, 1}))) all = false;
    }
  }
  co_return all;
}

asio::awaitable<void> ChangeStream::notice_members() {
  const auto answer = co_await parts_.query(members_sql());
  if (!answer) co_return;
  std::map<Oid, std::string> members;
  New added{.before = 0, .everything = false, .tables = {}};
  for (auto& [table, place, next] : read_members(*answer)) {
    const auto known = members_.find(table);
    if (known == members_.end() || known->second != place) added.tables.push_back(table);
    members.emplace(table, std::move(place));
    added.before = next;
  }
  members_ = std::move(members);
  members_text_ = overview_.members;
  if (added.tables.empty() || !link_) co_return;
  parts_.tables_may_have_changed(added.tables);
  new_.push_back(std::move(added));
}

void ChangeStream::tell_what_is_new() {
  std::erase_if(new_, [this](New& one) {
    if (one.before > overview_.oldest_running) return false;
    if (one.everything) {
      parts_.everything_may_have_changed();
    } else {
      parts_.tables_may_have_changed(one.tables);
    }
    return true;
  });
}

asio::awaitable<void> ChangeStream::drop_publications() {
  if (identity_.empty()) co_return;
  const auto others = co_await parts_.query(others_sql(process_id_));
  if (others && others->empty()) {
    co_await parts_.query(
        "SELECT pg_catalog.set_config('lock_timeout', '1s', true),"
        " pg_catalog.set_config('synchronous_commit', 'local', true); " +
        drop_sql());
  }
}

Result<> ChangeStream::on_data(const XLogData& data, bool whole) {
  auto fed = transactions_.feed(data.data, whole);
  if (!fed) return std::unexpected(std::move(fed).error());
  if (!*fed) return {};
  const Transaction& done = **fed;
  parts_.committed(done);
  received(done.end_lsn);
  const std::lock_guard lock(mutex_);
  ++status_.transactions;
  status_.rows += done.rows;
  status_.lag_ms = static_cast<double>(std::max<pgoutput::Timestamp>(data.sent_at - done.commit_time, 0)) / 1e3;
  return {};
}

void ChangeStream::on_keep_alive(const KeepAlive& alive) {
  received(alive.end);
  if (alive.reply_requested) link_->acknowledge(received_, false);
}

void ChangeStream::received(Lsn end) {
  received_ = std::max(received_, end);
  const std::lock_guard lock(mutex_);
  status_.lag_bytes = overview_.written > received_ ? overview_.written - received_ : 0;
}

void ChangeStream::disconnect() {
  if (link_) {
    link_->on_end({});
    link_->close();
    link_.reset();
  }
  if (connection_) connection_->close();
  connection_.reset();
  new_.clear();
}

void ChangeStream::set_unavailable(const Obstacle& obstacle) {
  const std::lock_guard lock(mutex_);
  status_.state = StreamState::unavailable;
  status_.reason = obstacle.reason;
  status_.remedy = obstacle.remedy;
  // Once, however often it is tried.
  if (std::exchange(logged_, obstacle.reason) == obstacle.reason) return;
  log::info("no change stream",
            {{"database", status_.database}, {"reason", obstacle.reason}, {"remedy", obstacle.remedy.value_or("")}});
}

}  // namespace millrace::integration
