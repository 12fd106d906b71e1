#include "integration/change_stream.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "base/log.hpp"

namespace millrace::integration {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

/// After that PostgreSQL is told to end the stream's process.
constexpr milliseconds patience_for_farewell{500};
/// DDL seldom comes alone.
constexpr milliseconds settle{20};
constexpr int most_rounds = 1000;

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
                             slot_.because()};
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
  status_.reason = "a slot begins when the transactions that are writing have ended" + slot_.because();
  status_.remedy.reset();
}

}  // namespace millrace::integration
