#include "gateway/query_runner.hpp"

#include "base/log.hpp"
#include "gateway/application_name.hpp"
#include "gateway/memory_limit.hpp"
#include "gateway/new_sessions.hpp"
#include "gateway/parse_elsewhere.hpp"
#include "gateway/server_link.hpp"
#include "gateway/statement_answer.hpp"

namespace millrace::gateway {
namespace {

using boost::system::error_code;

/// The server may not have begun with the statement when it was told to cancel it: it is told again.
constexpr auto cancel_again_after = std::chrono::seconds(1);
/// How long a cancelled statement may take to end, before its server connection is given up.
constexpr auto cancelled_statement_limit = std::chrono::seconds(10);
constexpr auto memory_looked_at_each = std::chrono::milliseconds(500);
constexpr auto for_ever = std::chrono::hours(24);
/// A Bind counts them in 16 bits.
constexpr std::size_t most_parameters = 65535;

Error copy_refusal() {
  return Error{.message = "COPY is only possible over PostgreSQL's protocol",
               .sqlstate = "0A000",
               .hint = "Use Millrace's PostgreSQL port for it; SELECT and INSERT work here."};
}

Error transaction_refusal() {
  return Error{.message = "a transaction of several statements is only possible over PostgreSQL's protocol",
               .sqlstate = "0A000",
               .hint =
                   "Each statement is a transaction of its own here. Use Millrace's PostgreSQL port for BEGIN, "
                   "COMMIT, ROLLBACK and SAVEPOINT."};
}

/// What isn't given to the server. COMMIT PREPARED and ROLLBACK PREPARED stand for themselves.
std::optional<Error> refusal_of(const sql::Statement& statement) {
  using Kind = sql::StatementKind;
  if (statement.kind == Kind::copy_from || statement.kind == Kind::copy_to) return copy_refusal();
  const auto stands_alone = [](sql::TransactionStep step) { return step == sql::TransactionStep::other; };
  if (statement.kind == Kind::transaction && !std::ranges::all_of(statement.steps, stands_alone)) {
    return transaction_refusal();
  }
  return std::nullopt;
}

std::string as_the_server_would(std::string application) {
  constexpr std::size_t longest_name = 63;
  application.resize(std::min(application.size(), longest_name));
  for (char& c : application) {
    if (c < ' ' || c > '~') c = '?';
  }
  return application;
}

/// One run. It outlives `run_query`, as what was begun on a server connection has to be ended. Belongs to its core's
/// thread.
class QueryRun final : public backend::ServerConnection::Sink, public std::enable_shared_from_this<QueryRun> {
 public:
  QueryRun(Core& core, RunRequest request);

  /// Has the statement run, and the server connection left as it was found.
  static asio::awaitable<void> run(std::shared_ptr<QueryRun> self);
  /// From now on its time runs, and it may be given up.
  void arm();
  /// Gives the sink what comes, up to the statement's end.
  asio::awaitable<Result<RunOutcome>> deliver(RowSink& sink);
  /// Nobody listens any more.
  void abandon();

  // ServerConnection::Sink
  std::size_t on_server_bytes(std::span<std::byte> bytes) override;
  bool writable() const override { return !relay_.query_under_way() || (!answer_.has_rows() && !stop_); }
  asio::awaitable<void> drained() override;
  void on_server_gone() override;
  bool half_sent() const override { return link_.has_unsent(); }

 private:
  std::optional<Error> write_messages();
  asio::awaitable<bool> get_ready();
  asio::awaitable<bool> take_server();
  asio::awaitable<void> send();
  asio::awaitable<bool> take_turn();
  asio::awaitable<void> wait_until_unused();
  asio::awaitable<void> hear_out();
  Clock::duration time_left() const;
  asio::awaitable<void> end_copy();
  asio::awaitable<void> cancel();
  asio::awaitable<void> tidy();
  void stop(Error why);
  void finish();
  bool give(std::string_view rows, RowSink& sink);
  Result<RunOutcome> outcome() const;
  bool is_under_way() const { return link_ && (relay_.query_under_way() || relay_.skipping()); }

  Core& core_;
  const std::shared_ptr<const Rules> rules_;
  const RunRequest request_;
  const std::string application_;
  const std::shared_ptr<const void> uses_database_;
  const std::shared_ptr<backend::Pool> pool_;
  const backend::Pool::Startup startup_;
  Relay relay_;
  ServerLink link_;  ///< of `relay_`
  StatementAnswer answer_;

  std::string messages_;  ///< what a client would send
  StatementPtr statement_;
  bool sent_ = false;  ///< a part of it was
  bool all_sent_ = false;
  bool finished_ = false;      ///< nothing more is to be heard
  bool left_open_ = false;     ///< the statement has begun a transaction
  bool enough_ = false;        ///< says the sink
  std::uint64_t given_ = 0;    ///< rows, to the sink
  std::optional<Error> stop_;  ///< it is to end before its end, for this reason
  TimePoint stopped_at_;

  asio::steady_timer deadline_;
  net::Signal progress_;  ///< for `run`
  net::Signal news_;      ///< for `deliver`
  net::Signal taken_;     ///< for `drained`
};

QueryRun::QueryRun(Core& core, RunRequest request)
    : core_(core),
      rules_(core.shared.rules.load()),
      request_(std::move(request)),
      application_(as_the_server_would(request_.application)),
      uses_database_(core.shared.database_users.add(request_.database)),
      pool_(core.shared.pools.get(request_.user, request_.database)),
      startup_(pool_->intern({{"user", request_.user}, {"database", request_.database}, {"client_encoding", "UTF8"}})),
      relay_(core.pipeline, core.shared.prepared_texts,
             {.mode = Relay::Mode::transaction,
              .user = request_.user,
              .database = request_.database,
              .startup = startup_,
              .wishes = request_.wishes,
              .executor = core.shared.rules.load()->settings->enable_adaptive_executor ? core.shared.executor : nullptr,
              .places = pool_->places(),
              .breaker = pool_->breaker(),
              .times = &core.times,
              .is_patient = true}),
      link_(core, relay_, pool_, startup_),
      answer_(core.shared.held),
      deadline_(core.io),
      progress_(core.io),
      news_(core.io),
      taken_(core.io) {
  relay_.application = application_;
  if (!application_.empty()) relay_.settings().start_with(application_setting(application_));
}

asio::awaitable<void> QueryRun::run(std::shared_ptr<QueryRun> self) {
  if (co_await self->get_ready()) {
    co_await self->send();
    co_await self->hear_out();
  }
  self->left_open_ = self->link_ && self->relay_.transaction_status() != 'I';
  self->finish();
  co_await self->tidy();
}

void QueryRun::arm() {
  if (request_.patience) {
    request_.patience->give_up = [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self) self->stop(Error{.message = "the statement was cancelled", .sqlstate = "57014"});
    };
  }
  if (request_.timeout <= std::chrono::milliseconds::zero()) return;
  deadline_.expires_after(request_.timeout);
  deadline_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (!self || error) return;
    const auto limit = self->request_.timeout.count();
    self->stop(Error{.message = fmt::format("the statement took longer than the {} ms that it was given", limit),
                     .sqlstate = "57014"});
  });
}

/// What a client would send. An error: it can't be said in the protocol.
std::optional<Error> QueryRun::write_messages() {
  std::size_t size = request_.sql.size();
  for (const auto& value : request_.parameters) size += value ? value->size() : 0;
  const auto most = static_cast<std::size_t>(rules_->settings->max_message_size_mb) << 20;
  const bool too_long = size > most - most / 100 || request_.parameters.size() > most_parameters;
  const std::vector<pgwire::Value> values(request_.parameters.begin(), request_.parameters.end());
  pgwire::append_parse(messages_, "", too_long ? "" : request_.sql);
  pgwire::append_bind(messages_, {.values = too_long ? std::span<const pgwire::Value>() : values});
  pgwire::append_describe(messages_, 'P', "");
  pgwire::append_execute(messages_, "");
  pgwire::append_sync(messages_);
  if (too_long) {
    return Error{.message = "the statement has too many parameters, or is too long with them",
                 .sqlstate = "54000",
                 .hint = "MAX_MESSAGE_SIZE_MB is the limit, and 65535 parameters."};
  }
  if (request_.sql.contains('\0')) {  // in a message it would be the text's end
    return Error{.message = "the statement's text holds a NUL character", .sqlstate = "22021"};
  }
  return std::nullopt;
}

/// False: it won't be sent.
asio::awaitable<bool> QueryRun::get_ready() {
  if (auto refusal = write_messages()) {
    stop(std::move(*refusal));
    co_return false;
  }
  statement_ = core_.pipeline.understand(request_.sql);
  if (!statement_) statement_ = co_await parse_elsewhere(core_, request_.sql);
  if (finished_) co_return false;
  if (auto refusal = refusal_of(*statement_)) {
    stop(std::move(*refusal));
    co_return false;
  }
  link_.expect(pgwire::as_bytes(messages_));
  relay_.settings().parameters = pool_->welcome(startup_);
  // How a text is read depends on what the server says at its first log-in.
  co_return relay_.settings().parameters || co_await take_server();
}

asio::awaitable<bool> QueryRun::take_server() {
  const auto taken = co_await link_.take();
  if (finished_) {
    link_.decline();
    co_return false;
  }
  if (!taken) {
    const auto& failure = taken.error();
    if (link_.is_late(failure)) co_return true;
    if (failure.error.sqlstate == "53300") core_.counters().pool_timeouts.add();
    const auto response = pgwire::as_bytes(failure.error_response);
    Error why = response.empty() ? failure.error : error_of(response.subspan(pgwire::header_size));
    if (failure.unavailable) why.sqlstate = server_out_of_reach;
    stop(std::move(why));
    co_return false;
  }
  if (relay_.settings().parameters) link_.changed_parameters();
  link_.attach(shared_from_this());
  relay_.settings().parameters = link_.connection()->state().parameters;
  co_return true;
}

/// As far as it comes: if it isn't all sent, the run is over, or the server connection is.
asio::awaitable<void> QueryRun::send() {
  for (auto rest = pgwire::as_bytes(messages_); !finished_;) {
    const auto step = relay_.from_client(rest, now_ns());
    const auto next = step.next;
    rest = rest.subspan(step.used);
    answer_.read(step.answer);  // it may be refused
    if (!step.forward.empty()) {
      if (relay_.take_wants_no_idle_sessions()) core_.shared.pools.close_idle();
      if (!std::exchange(sent_, true) && request_.on_begin)
        request_.on_begin(core_.times.mean(statement_->fingerprint));
      if (!link_ || !link_.write(step.forward)) co_return;
      if (link_.has_unsent() && !co_await link_.flush()) co_return;
    }
    switch (next) {
      case Relay::Next::need_server:
        if (link_.try_take()) {
          link_.changed_parameters();
          link_.attach(shared_from_this());
        } else if (!co_await take_server()) {
          co_return;
        }
        break;
      case Relay::Next::turn:
        if (!co_await take_turn()) co_return;
        break;
      case Relay::Next::parse:
        relay_.take_to_parse();
        relay_.parsed(statement_);
        break;
      case Relay::Next::elsewhere:  // where others ask the same, it asks itself
        if (relay_.wants_unused_databases()) co_await wait_until_unused();
        break;
      case Relay::Next::answer:
        while (link_ && !finished_ && relay_.asking()) co_await progress_.wait(for_ever);
        if (!link_) co_return;
        break;
      default:
        all_sent_ = rest.empty();
        if (!all_sent_) stop(relay_.error());
        if (all_sent_) messages_ = {};
        co_return;
    }
  }
}

/// False: it isn't let in, or the run is over.
asio::awaitable<bool> QueryRun::take_turn() {
  progress_.clear();
  relay_.wait_for_turn(
      [weak = weak_from_this(), &io = core_.io] {
        asio::post(io, [weak] {
          if (const auto self = weak.lock()) self->progress_.set();
        });
      },
      now_ns());
  if (request_.on_wait) request_.on_wait(relay_.turn());
  const auto limit = request_.wait_for_turn.value_or(rules_->settings->pool_wait_timeout_seconds);
  auto until = Clock::now() + (limit.count() == 0 ? Clock::duration(for_ever) : limit);
  const std::int64_t ends_at = relay_.wait_ends_at();
  if (ends_at != 0) until = std::min(until, Clock::now() + std::chrono::nanoseconds(ends_at - now_ns()));
  while (relay_.waits_for_turn() && !finished_ && Clock::now() < until) co_await progress_.wait(until - Clock::now());
  using Waited = Relay::Waited;
  const auto how = finished_                             ? Waited::in_vain
                   : !relay_.waits_for_turn()            ? Waited::ended
                   : ends_at != 0 && now_ns() >= ends_at ? Waited::timed_out
                                                         : Waited::too_long;
  relay_.end_wait_for_turn(how, now_ns());
  if (const auto& refusal = relay_.refusal()) {
    stop(*refusal);
    co_return false;
  }
  co_return true;
}

/// Called on another thread, on which the run mustn't end.
asio::awaitable<void> QueryRun::wait_until_unused() {
  progress_.clear();
  auto unused = [weak = weak_from_this(), &io = core_.io] {
    asio::post(io, [weak] {
      if (const auto self = weak.lock()) self->progress_.set();
    });
  };
  if (relay_.wait_elsewhere(std::move(unused))) co_await progress_.wait(relay_.longest_wait());
}

/// Until all is answered, or nothing more will be.
asio::awaitable<void> QueryRun::hear_out() {
  while (is_under_way()) {
    if (relay_.in_copy() || relay_.skipping()) {
      co_await end_copy();
    } else if (stop_ && Clock::now() - stopped_at_ > cancelled_statement_limit) {
      link_.give_up();
    } else if (stop_) {
      co_await cancel();
    }
    if (is_under_way()) co_await progress_.wait(stop_ ? Clock::duration(cancel_again_after) : time_left());
    if (!stop_ && link_) note_memory(relay_, *link_.connection(), core_.shared, request_.memory_limit_mb, now_ns());
    if (!stop_ && relay_.exceeds(now_ns()) != Relay::Late::no) stop(relay_.exceeded());
  }
}

/// Of what runs; or until its memory is looked at.
Clock::duration QueryRun::time_left() const {
  const std::int64_t ends_at = relay_.limit_at();
  const Clock::duration left = ends_at == 0 ? Clock::duration(for_ever) : std::chrono::nanoseconds(ends_at - now_ns());
  return std::min<Clock::duration>(left, memory_looked_at_each);
}

/// It came to that although the text didn't show it. The server has ignored the Sync, whether COPY goes on or has
/// failed.
asio::awaitable<void> QueryRun::end_copy() {
  if (relay_.in_copy()) stop(copy_refusal());
  const std::string ending = relay_.ending();
  if (link_.write(pgwire::as_bytes(ending)) && link_.has_unsent()) co_await link_.flush();
}

asio::awaitable<void> QueryRun::cancel() {
  co_await core_.cancel_turns.take();
  co_await link_.cancel();
  core_.cancel_turns.give();
}

/// As a Session does it that has come to its end.
asio::awaitable<void> QueryRun::tidy() {
  if (!link_) co_return;
  const bool session_mode = rules_->settings->pool_mode == config::PoolMode::session;
  if (!session_mode && relay_.releasable()) {
    link_.release();
  } else if (link_.has_unsent() || is_under_way() || relay_.server_mid_message() ||
             link_.connection()->state().tainted) {
    link_.give_up();
  } else {
    co_await link_.tidy(session_mode || !relay_.pinned().empty());
  }
}

/// Before it was sent it is over at once; afterwards when the server has heard of it.
void QueryRun::stop(Error why) {
  if (finished_ || stop_) return;
  stop_ = std::move(why);
  stopped_at_ = Clock::now();
  answer_.drop_rows();
  taken_.set();
  progress_.set();
  if (sent_) return;
  // What waits for its turn, or was refused one, is recorded by the relay.
  if (!relay_.turn() && relay_.refusal() == nullptr)
    relay_.refused(pgwire::as_bytes(messages_), stop_->sqlstate, now_ns());
  finish();
  link_.give_up_waiting();
}

void QueryRun::finish() {
  finished_ = true;
  deadline_.cancel();
  news_.set();
}

void QueryRun::abandon() {
  if (request_.patience) request_.patience->give_up = nullptr;
  stop(Error{.message = "nobody waits for the answer any more", .sqlstate = "57014"});
  answer_.drop_rows();
  taken_.set();
}

std::size_t QueryRun::on_server_bytes(std::span<std::byte> bytes) {
  const auto step = relay_.from_server(bytes, now_ns());
  if (!answer_.read(step.forward)) {
    stop(Error{.message = "a row is too large to be held",
               .sqlstate = "54000",
               .hint = "MAX_HELD_MESSAGES_MB is the limit for all clients together."});
  }
  if (step.broken) {
    log::error("server connection broken off",
               {{"user", request_.user}, {"database", request_.database}, {"reason", relay_.error().message}});
    stop(relay_.error());
    link_.connection()->close();
    return bytes.size();
  }
  if (relay_.take_new_sessions_differ()) begin_anew(core_.shared);
  if (answer_.copies_out) stop(copy_refusal());
  if (answer_.has_rows() || answer_.columns) news_.set();
  if (all_sent_ ? !relay_.query_under_way() || relay_.in_copy() : !relay_.asking()) progress_.set();
  return step.used;
}

asio::awaitable<void> QueryRun::drained() {
  const auto self = shared_from_this();
  while (answer_.has_rows()) co_await taken_.wait(for_ever);
  // What is dropped may come faster than it is read: whoever else has something to do, such as to cancel, has its turn.
  if (stop_) co_await asio::post(core_.io, asio::use_awaitable);
}

void QueryRun::on_server_gone() {
  link_.lost();
  progress_.set();
}

asio::awaitable<Result<RunOutcome>> QueryRun::deliver(RowSink& sink) {
  bool columns_told = false;
  for (;;) {
    if (answer_.columns && !std::exchange(columns_told, true)) {
      if (const auto fields = pgwire::decode_row_description(pgwire::as_bytes(*answer_.columns))) {
        std::vector<pgwire::FieldDescription> columns;
        for (const auto& field : *fields) columns.push_back(field);
        sink.on_columns(columns);
      }
    }
    const std::string rows = answer_.take_rows();
    taken_.set();
    if (!rows.empty()) {
      if (give(rows, sink)) {
        co_await sink.ready();
      } else {
        answer_.drop_rows();
      }
    } else if (finished_) {
      co_return outcome();
    } else {
      co_await news_.wait(for_ever);
    }
  }
}

/// False: no more.
bool QueryRun::give(std::string_view rows, RowSink& sink) {
  std::vector<pgwire::Value> row;
  for (auto rest = pgwire::as_bytes(rows); !rest.empty();) {
    const auto total = pgwire::load_header(rest).total();
    const auto values = pgwire::decode_data_row(rest.subspan(pgwire::header_size, total - pgwire::header_size));
    rest = rest.subspan(total);
    if (!values) {
      stop(values.error());
      return false;
    }
    row.clear();
    for (const auto& value : *values) row.push_back(value ? pgwire::Value(pgwire::as_text(*value)) : std::nullopt);
    ++given_;
    if (sink.on_row(row)) continue;
    enough_ = true;
    stop(Error{.message = "no more rows are wanted", .sqlstate = "57014"});
    return false;
  }
  return true;
}

Result<RunOutcome> QueryRun::outcome() const {
  const bool by_our_cancel = stop_ && answer_.error && answer_.error->sqlstate == "57014";
  if (answer_.error && !by_our_cancel) return std::unexpected(*answer_.error);
  if (enough_) return RunOutcome{.tag = "", .rows = given_, .stopped = true};
  if (left_open_) return std::unexpected(transaction_refusal());
  // What has failed has, whatever tag came before: that is told before the commit.
  if (stop_ && (answer_.error || !answer_.tag || answer_.lacks_rows() || answer_.copies_out)) {
    Error error = *stop_;
    if (answer_.tag && answer_.lacks_rows() && !answer_.error)
      error.hint = "The statement itself was done; only its rows were not taken in time.";
    return std::unexpected(std::move(error));
  }
  if (!answer_.tag) {
    return fail("the server closed the connection unexpectedly", "08006",
                "The outcome of what was under way is not known.");
  }
  return RunOutcome{.tag = *answer_.tag, .rows = answer_.rows.value_or(given_)};
}

}  // namespace

asio::awaitable<Result<RunOutcome>> run_query(Core& core, RunRequest request, RowSink& sink) {
  struct Listener {
    std::shared_ptr<QueryRun> run;
    ~Listener() { run->abandon(); }
  };
  const Listener listener{std::make_shared<QueryRun>(core, std::move(request))};
  listener.run->arm();
  asio::co_spawn(core.io, QueryRun::run(listener.run), asio::detached);
  co_return co_await listener.run->deliver(sink);
}

}  // namespace millrace::gateway
