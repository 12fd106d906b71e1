#include "integration/change_stream.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "base/log.hpp"

namespace millrace::integration {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds patience{30000};
/// After that PostgreSQL is told to end the stream's process.
constexpr milliseconds patience_for_farewell{500};
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
    return {.reason = "the connection to PostgreSQL was lost, or can't be had", .lost = true};
  }
  return {.reason = "PostgreSQL refused, with SQLSTATE " + error.sqlstate};
}

std::string because_of(const SlotState& slot) {
  return slot.oldest_writer.empty() ? std::string() : ": " + slot.oldest_writer;
}

/// What comes of a statement that others are seen to meanwhile.
struct Outcome {
  bool there = false;
  std::optional<Error> error;
};

asio::awaitable<void> run_query(std::shared_ptr<backend::ServerConnection> connection, std::string sql,
                                milliseconds limit, std::shared_ptr<Outcome> outcome) {
  auto answer = co_await connection->query(std::move(sql), {}, limit);
  if (!answer) outcome->error = std::move(answer).error();
}

}  // namespace

std::shared_ptr<ChangeStream> ChangeStream::start(asio::io_context& io, ChangeStreamParts parts, std::string database,
                                                  StreamPace pace) {
  std::shared_ptr<ChangeStream> stream(new ChangeStream(io, std::move(parts), std::move(database), pace));
  asio::co_spawn(io, stream->run(), [stream](const std::exception_ptr&) {});
  asio::co_spawn(io, stream->guard(), [stream](const std::exception_ptr&) {
    stream->guarding_ = false;
    stream->wake_.set();
  });
  return stream;
}

ChangeStream::ChangeStream(asio::io_context& io, ChangeStreamParts parts, std::string database, StreamPace pace)
    : io_(io),
      parts_(std::move(parts)),
      pace_(pace),
      wake_(io),
      wake_guard_(io),
      keeper_([this](std::string sql) { return parts_.query(std::move(sql)); }),
      retry_(pace.first_retry),
      thaws_(io),
      looked_once_(io) {
  status_.database = std::move(database);
}

StreamStatus ChangeStream::status() const {
  const auto& freshness = *parts_.freshness;
  const std::lock_guard lock(mutex_);
  auto status = status_;
  status.levels = {"eventual", "bounded"};
  if (freshness.is_followed()) {
    status.levels.insert(status.levels.end(), {"session", "read_after_write", "strong"});
    status.proof_ms = static_cast<double>(freshness.usual_wait_ns()) / 1e6;
  }
  return status;
}

void ChangeStream::look() {
  asio::post(io_, [self = shared_from_this()] {
    self->look_asked_ = true;
    self->wake_.set();
    self->wake_guard_.set();
  });
}

/// The prober ends at once: what another server says of its log is no proof of what this stream has told.
void ChangeStream::reconnect() {
  asio::post(io_, [self = shared_from_this()] {
    self->server_may_be_another_ = true;
    self->retry_ = self->pace_.first_retry;
    if (self->prober_) self->prober_->stop();
    if (self->connection_) self->connection_->close();
    self->thaw();
    self->wake_.set();
  });
}

void ChangeStream::lose() {
  asio::post(io_, [self = shared_from_this()] {
    if (self->stopped_ || self->server_may_be_another_ || !self->prober_) return;
    self->stop_proving(true);
    self->set_unavailable({.reason = "the server can't be reached", .lost = true});
    if (self->connection_) self->connection_->close();
    self->wake_.set();
  });
}

/// In its own time, as the two may go on being different ones.
void ChangeStream::leave_another() {
  if (!prober_) return;
  stop_proving(false);
  parts_.on_another();
  if (connection_) connection_->close();
  wake_.set();
}

void ChangeStream::stop(std::function<void()> done) {
  asio::post(io_, [self = shared_from_this(), done = std::move(done)]() mutable {
    if (self->ended_) return done();
    self->on_stopped_.push_back(std::move(done));
    self->stopped_ = true;
    if (self->connection_) self->connection_->part();
    self->wake_.set();
    self->wake_guard_.set();
  });
}

asio::awaitable<void> ChangeStream::run() {
  while (!stopped_) {
    const auto obstacle = co_await follow();
    const auto live_since = std::exchange(live_since_, std::nullopt);
    const auto connection = connection_;
    if (stopped_ && connection) connection->part();
    disconnect(obstacle.lost && !stopped_ && !server_may_be_another_);
    if (stopped_ && connection) co_await leave(connection);
    if (stopped_) break;
    set_unavailable(obstacle);
    wake_guard_.set();
    // Somebody has to do something first: until then nobody needs them.
    if (obstacle.remedy) co_await keeper_.drop_unneeded(process_id_);
    if (live_since && Clock::now() - *live_since > pace_.steady) retry_ = pace_.first_retry;
    co_await pause(Clock::now() + std::exchange(retry_, std::min(retry_ * 2, pace_.last_retry)));
    server_may_be_another_ = false;
  }
  thaw();
  while (guarding_) co_await wake_.wait(patience);
  co_await keeper_.drop_unneeded(process_id_);
  ended_ = true;
  for (const auto& done : std::exchange(on_stopped_, {})) done();
}

asio::awaitable<void> ChangeStream::pause(TimePoint until) {
  const auto goes_on = [&] { return !stopped_ && !server_may_be_another_ && Clock::now() < until; };
  while (goes_on()) {
    const auto soon = Clock::now() + pace_.first_retry;
    co_await wake_.wait((parts_.freshness->is_frozen() ? std::min(until, soon) : until) - Clock::now());
    if (!goes_on() || !parts_.freshness->is_frozen()) continue;
    const auto answer = co_await parts_.query("SELECT 1");
    if (answer || !obstacle_of(answer.error()).lost) thaw();
  }
}

asio::awaitable<void> ChangeStream::leave(std::shared_ptr<backend::ServerConnection> connection) {
  if (co_await connection->parted(patience_for_farewell)) co_return;
  // It waits for something else than its client, such as a transaction that is writing.
  co_await parts_.query(end_slot_sql(process_id_));
  co_await connection->parted(patience_for_farewell);
}

asio::awaitable<void> ChangeStream::guard() {
  while (!stopped_) {
    const auto began = Clock::now();
    if (!live_since_) co_await keeper_.look();
    if (stopped_) break;
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
    co_await wake_guard_.wait(std::max(pace_.look, took));
  }
}

asio::awaitable<Obstacle> ChangeStream::follow() {
  auto obstacle = co_await prepare();
  if (!obstacle) obstacle = co_await begin();
  if (!obstacle) obstacle = co_await keep_up();
  co_return obstacle.value_or(Obstacle{.reason = "stopped"});
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::prepare() {
  const auto answer = co_await parts_.query(requirements_sql());
  if (answer || !obstacle_of(answer.error()).lost) thaw();
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
  const auto server = co_await connection_->query(fmt::format("SELECT {}", Prober::server_sql), {}, patience);
  if (!server) co_return obstacle_of(server.error());
  server_ = server->empty() || server->front().empty() ? "" : server->front().front().value_or("");
  // Before the slot: what a publication is when a slot begins, it must be for the whole of the slot.
  identity_.clear();
  members_.clear();
  members_text_.clear();
  begin_anew_ = false;
  leaving_.clear();
  mend_after_ = {};
  for (int round = 0; round < most_rounds && !stopped_; ++round) {
    const auto before = overview_.to_mend;
    if (auto obstacle = co_await look_once()) co_return obstacle;
    if (!identity_.empty() && (overview_.to_mend == 0 || Clock::now() < mend_after_)) break;
    if (round > 1 && overview_.to_mend > before) break;  // the look after the next has what came meanwhile
  }
  co_return std::nullopt;
}

/// Waits for the transactions that write, within limits.
asio::awaitable<std::optional<Obstacle>> ChangeStream::make_slot() {
  const auto outcome = std::make_shared<Outcome>();
  const auto until = Clock::now() + pace_.slot;
  asio::co_spawn(io_, run_query(connection_, create_slot_sql(process_id_), pace_.slot, outcome),
                 [self = shared_from_this(), outcome](const std::exception_ptr&) {
                   outcome->there = true;
                   self->wake_.set();
                 });
  std::optional<Obstacle> obstacle;
  for (bool first = true; !outcome->there; first = false) {
    co_await wake_.wait(first ? pace_.look / 4 : pace_.look);
    if (outcome->there || obstacle || stopped_) continue;
    obstacle = co_await look_at_slot();
    if (obstacle) {
      connection_->close();
    } else if (!outcome->there) {
      set_waiting();
    }
  }
  if (!outcome->error) co_return obstacle;
  if (!connection_->is_open()) {
    co_await parts_.query(end_slot_sql(process_id_));
    if (!obstacle && Clock::now() >= until) {
      obstacle =
          Obstacle{.reason = "a slot begins when the transactions that are writing have ended, which takes long" +
                             because_of(slot_)};
    }
  }
  co_return obstacle ? obstacle : obstacle_of(*outcome->error);
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::begin() {
  if (stopped_) co_return std::nullopt;
  if (auto obstacle = co_await make_slot()) co_return obstacle;
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
      "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '2', streaming 'on', publication_names '{},{}')",
      slot_name(process_id_), changes_publication, inserts_publication));
  if (!started) co_return obstacle_of(started.error());
  // A commit may be in the log before the slot's beginning, and not yet be seen by others: so once more, when all that
  // ran at the next look has ended.
  overview_.next = 0;
  if (auto obstacle = co_await look_once()) co_return obstacle;
  if (overview_.next == 0) co_return Obstacle{.reason = "PostgreSQL has no connection to spare"};
  // Which of them this one is isn't known. Else it would be taken for another at its end.
  if (server_may_be_another_) co_return Obstacle{.reason = "the server may be another"};
  new_ = {{.before = overview_.next, .everything = true, .tables = {}}};
  parts_.everything_may_have_changed();
  parts_.freshness->expect(true);
  prober_ = Prober::start(io_, server_,
                          {.query = parts_.query,
                           .confirm = [weak = weak_from_this()] { return confirm(weak.lock()); },
                           .on_another =
                               [weak = weak_from_this()] {
                                 if (const auto self = weak.lock()) self->leave_another();
                               }},
                          parts_.freshness);
  live_since_ = Clock::now();
  std::uint64_t starts = 0;
  {
    const std::lock_guard lock(mutex_);
    status_.state = StreamState::live;
    status_.reason.reset();
    status_.remedy.reset();
    starts = ++status_.starts;
    parts_.logged->clear();
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
      co_return Obstacle{.reason = "the server has given no sign of life", .lost = true};
    }
    if (now >= next_look || look_asked_) {
      look_asked_ = false;
      const auto began = Clock::now();
      if (auto obstacle = co_await look_once()) co_return obstacle;
      if (auto obstacle = co_await look_at_slot()) co_return obstacle;
      tell_what_is_new();
      if (begin_anew_ && new_.empty()) {
        co_return Obstacle{.reason =
                               "tables were added, which this version of PostgreSQL may forget in a stream that is"
                               " under way; it begins anew"};
      }
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
  const auto look = ++looks_;
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
  if (overview_.to_mend == 0) leaving_.clear();
  if (overview_.members != members_text_) co_await notice_members();
  if ((overview_.to_mend > 0 && Clock::now() >= mend_after_) || overview_.to_take_out > 0 ||
      overview_.unfollowed != told_unfollowed_) {
    co_await mend_tables();
  }
  // Else it is asked for again.
  if (overview_.members == members_text_) {
    looked_ = look;
    looked_once_.set();
  }
  co_return std::nullopt;
}

asio::awaitable<bool> ChangeStream::confirm(std::shared_ptr<ChangeStream> self) {
  if (!self || !co_await self->confirm_publications()) co_return false;
  co_return !self->parts_.confirm_catalogs || co_await self->parts_.confirm_catalogs();
}

asio::awaitable<bool> ChangeStream::confirm_publications() {
  const auto answer =
      co_await parts_.query(fmt::format("SELECT c.*, {} FROM ({}) c", Prober::server_sql, contents_sql()));
  if (!answer || answer->size() != 1 || answer->front().size() != 3) co_return false;
  const auto& row = answer->front();
  if (row[2].value_or("") != server_) co_return false;
  if (row[0].value_or("") == identity_ && row[1].value_or("") == members_text_) co_return true;
  const auto prober = prober_;
  const auto next = looks_ + 1;
  look_asked_ = true;
  wake_.set();
  while (prober && prober == prober_ && looked_ < next) co_await looked_once_.wait(patience);
  co_return prober&& prober == prober_;
}

asio::awaitable<void> ChangeStream::mend_tables() {
  using enum TableToMend::What;
  const auto answer = co_await parts_.query(tables_sql());
  if (!answer) co_return;
  const auto tables = read_tables(*answer);
  // From then on their changes aren't told.
  std::vector<Oid> leaving;
  for (const auto& table : tables) {
    if (table.what == take_out && leaving_.insert(table.oid).second) leaving.push_back(table.oid);
  }
  if (!leaving.empty()) {
    tell_what_is_followed();
    parts_.tables_may_have_changed(leaving);
  }
  bool all = true;
  for (const auto what : {take_out, add_to_changes, add_to_inserts}) {
    std::vector<TableToMend> some;
    std::ranges::copy_if(tables, std::back_inserter(some), [&](const auto& table) { return table.what == what; });
    if (!some.empty() && !co_await keeper_.mend(what, some)) all = false;
  }
  told_unfollowed_ = overview_.unfollowed;
  if (!all) mend_after_ = Clock::now() + rest_after_failure;
  const std::lock_guard lock(mutex_);
  status_.unfollowed.clear();
  for (const auto& table : tables) {
    if (table.what != add_to_changes && status_.unfollowed.size() < most_told) status_.unfollowed.push_back(table.told);
  }
}

asio::awaitable<void> ChangeStream::notice_members() {
  const auto answer = co_await parts_.query(members_sql());
  if (!answer) co_return;
  std::map<Oid, Member> members;
  New added{.before = 0, .everything = false, .tables = {}};
  for (auto& member : read_members(*answer)) {
    const auto known = members_.find(member.table);
    if (known == members_.end() || known->second.place != member.place) added.tables.push_back(member.table);
    added.before = member.next;
    members.emplace(member.table, std::move(member));
  }
  auto changed = added.tables;
  for (const auto& [table, member] : members_) {
    if (!members.contains(table)) changed.push_back(table);
  }
  members_ = std::move(members);
  members_text_ = overview_.members;
  leaving_.clear();
  if (changed.empty() || !link_) co_return;
  if (!added.tables.empty()) {
    new_.push_back(std::move(added));
    if (overview_.forgets_added) begin_anew_ = true;
    const std::lock_guard lock(mutex_);
    status_.settled = false;
  }
  tell_what_is_followed();
  parts_.tables_may_have_changed(changed);
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::look_at_slot() {
  const auto answer = co_await parts_.query(slot_sql(process_id_));
  if (!answer) co_return std::nullopt;  // as in `look_once`
  auto slot = read_slot(*answer);
  if (!slot) co_return obstacle_of(slot.error());
  slot_ = *std::move(slot);
  {
    const std::lock_guard lock(mutex_);
    status_.retained_bytes = slot_.retained;
  }
  if (slot_.retained <= parts_.most_retained()) co_return std::nullopt;
  co_return Obstacle{.reason = "the slot held back more of PostgreSQL's log than CHANGE_STREAM_MAX_RETAINED_MB" +
                               because_of(slot_)};
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
  tell_what_is_followed();
  const std::lock_guard lock(mutex_);
  status_.settled = new_.empty();
}

/// Those of whose changes none can have been missed.
void ChangeStream::tell_what_is_followed() {
  const bool settled = std::ranges::none_of(new_, [](const New& one) { return one.everything; });
  if (!prober_ || !settled) return;
  auto tables = std::make_shared<Freshness::Tables>();
  for (const auto& [table, member] : members_) {
    if (member.changes && !leaving_.contains(table)) tables->insert(table);
  }
  for (const auto& one : new_) {
    for (const Oid table : one.tables) tables->erase(table);
  }
  parts_.freshness->follow(std::move(tables));
}

Result<> ChangeStream::on_data(const XLogData& data, bool whole) {
  auto fed = transactions_.feed(data.data, whole);
  if (!fed) return std::unexpected(std::move(fed).error());
  if (!*fed) return {};
  const Transaction& done = **fed;
  parts_.committed(done);
  if (prober_) prober_->committed(done.xid, done.commit_lsn, done.end_lsn);
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
  if (prober_) prober_->told(received_);
  const std::lock_guard lock(mutex_);
  status_.lag_bytes = overview_.written > received_ ? overview_.written - received_ : 0;
}

/// What is kept isn't as of a moment any more of which all is told.
void ChangeStream::thaw() {
  thaws_.cancel();
  if (!parts_.freshness->is_frozen()) return;
  parts_.everything_may_have_changed();
  parts_.freshness->freeze(false);
}

/// Where only Millrace itself can't ask, its clients can, and nobody would tell them what is old.
void ChangeStream::thaw_later() {
  thaws_.expires_after(pace_.frozen);
  thaws_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || !self->parts_.freshness->is_frozen()) return;
    if (self->parts_.out_of_reach()) return self->thaw_later();
    self->thaw();
  });
}

/// `freezes`: the server can't be asked. Until it can, nobody knows of anything later than what was told.
void ChangeStream::stop_proving(bool freezes) {
  prober_->stop();
  prober_.reset();
  looked_once_.set();
  const bool freezes_now = freezes && parts_.freshness->is_followed();
  parts_.freshness->freeze(freezes_now);
  parts_.freshness->follow(nullptr);
  if (freezes_now) thaw_later();
  if (!freezes_now) parts_.everything_may_have_changed();  // what was left to it to tell
}

void ChangeStream::disconnect(bool freezes) {
  if (prober_) stop_proving(freezes);
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
  // What has a remedy needs somebody to do something.
  parts_.freshness->expect(!obstacle.remedy);
  const std::lock_guard lock(mutex_);
  status_.state = StreamState::unavailable;
  status_.reason = obstacle.reason;
  status_.remedy = obstacle.remedy;
  status_.settled = false;
  status_.lag_bytes = status_.retained_bytes = 0;
  // Once, however often it is tried.
  if (std::exchange(*parts_.logged, obstacle.reason) == obstacle.reason) return;
  log::info("no change stream",
            {{"database", status_.database}, {"reason", obstacle.reason}, {"remedy", obstacle.remedy.value_or("")}});
}

void ChangeStream::set_waiting() {
  const std::lock_guard lock(mutex_);
  status_.state = StreamState::starting;
  status_.reason = "a slot begins when the transactions that are writing have ended" + because_of(slot_);
  status_.remedy.reset();
}

}  // namespace millrace::integration
