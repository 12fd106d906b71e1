#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "backend/server_state.hpp"
#include "base/circuit_breaker.hpp"
#include "base/result.hpp"
#include "executor/adaptive_query_executor.hpp"
#include "executor/template_times.hpp"
#include "gateway/batch_walk.hpp"
#include "gateway/client_reader.hpp"
#include "gateway/hindrance.hpp"
#include "gateway/passage.hpp"
#include "gateway/prepared_texts.hpp"
#include "gateway/proof_waits.hpp"
#include "gateway/replies.hpp"
#include "gateway/server_writer.hpp"
#include "gateway/session_scope.hpp"
#include "gateway/session_state.hpp"
#include "gateway/session_wishes.hpp"
#include "gateway/unanswered.hpp"
#include "pipeline/explanation.hpp"
#include "pipeline/pipeline.hpp"

namespace millrace::gateway {

/// SQLSTATE of what is refused for want of a server while the client's session goes on. Clients' pools take 08xxx,
/// 53xxx, 57P0x and 58xxx for the end of a connection that is as good as before.
inline constexpr std::string_view server_out_of_reach = "55000";

/// What lies between a client and a server connection, without a socket. It puts the parts together:
///
///     client ─► ClientReader ─► Pipeline::decide ─► ServerWriter ─► server
///                                    │ SessionState
///     client ◄───────────────────────┴── Replies ◄───────────────── server
///
/// A message is passed on as it came unless a name in it has to change. Nothing but messages that must be understood is
/// ever held back; the rest streams through in parts. Not thread-safe.
class Relay {
 public:
  enum class Mode {
    session,      ///< the client keeps the server connection that it gets
    transaction,  ///< it goes to others when nothing of the client's is under way
  };

  struct Options {
    Mode mode = Mode::session;
    std::uint32_t max_message = 1u << 30;
    std::string_view user, database;  ///< must outlive the relay
    /// What its server connections begin with.
    std::shared_ptr<const backend::ParameterList> startup = std::make_shared<const backend::ParameterList>();
    /// What it says of how its queries are to run (`SessionWishes`); null: what `startup` says.
    std::shared_ptr<const backend::ParameterList> wishes = {};
    std::optional<Consistency> level = {};  ///< of answers from memory, where the client doesn't say; null: none
    std::shared_ptr<executor::AdaptiveQueryExecutor> executor = {};  ///< null: nothing waits for a turn
    std::shared_ptr<Places> places = {};  ///< of the pool that its server connections are from; null: it has no end
    std::shared_ptr<CircuitBreaker> breaker = {};  ///< of the server; null: it has none
    executor::TemplateTimes* times = nullptr;      ///< its core's, if there is an executor
    std::chrono::nanoseconds query_timeout{0};     ///< of queries whose client says nothing; 0: none
    bool is_patient = false;                       ///< it waits for its turns however long that takes
    bool rewriting = false;                        ///< its statements may be rewritten, where the client doesn't say
    bool sends_again = false;                      ///< reads may be, in transaction mode: see `may_be_sent_again`
  };

  Relay(pipeline::Pipeline& pipeline, PreparedTexts& texts, Options options);
  Relay(const Relay&) = delete;  // its parts know each other
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  enum class Next {
    more,         ///< wait for more bytes
    turn,         ///< `wait_for_turn`, then call again
    need_server,  ///< attach a server connection, then call again
    parse,        ///< have `take_to_parse` parsed elsewhere, say what is `parsed`, then call again
    answer,       ///< call again when the server has answered: `asking` says whether it is still to come
    elsewhere,    ///< call again when what `wait_elsewhere` waits for has come, or is late
    terminate,    ///< the client said goodbye
    broken,       ///< the client broke the protocol: `error`
  };
  struct FromClient {
    std::size_t used;       ///< the rest comes again, with more
    pgwire::Bytes forward;  ///< to the server; valid until the next call, and as long as the input is
    pgwire::Bytes answer;   ///< to the client, without the server; valid until the next call
    Next next;
  };
  /// `in` begins where the last call's `used` ended.
  FromClient from_client(pgwire::Bytes in, std::int64_t now);

  struct FromServer {
    std::size_t used;
    pgwire::Bytes forward;  ///< to the client
    bool broken;            ///< the server broke the protocol: `error`
  };
  FromServer from_server(pgwire::Bytes in, std::int64_t now);

  void attach(backend::ServerState& server) {
    writer_.attach(server, id_);
    has_place();
    attached_epoch_ = scope_.epoch();
  }
  /// After `attach`: the server connection may have begun otherwise than new ones do, so nothing of it is kept.
  void attached_from_before() { attached_epoch_ = UINT64_MAX; }
  void detach();

  /// The server connection is gone, or given up: what was under way has ended.
  void lost(std::int64_t now);

  // What was sent, if the server connection is lost.
  /// Whether all that is under way, or what prepares for the message at hand, may be sent once more on another server
  /// connection: reads that change nothing, of which nothing was answered, outside of a transaction. Once, as they may
  /// be what the server dies of, unless it says that it dies of something else.
  bool may_be_sent_again() {
    return could_be_sent_again() && (unanswered_.times() == 0 || !farewell_.empty()) && changes_nothing_by_now();
  }
  /// How often what is under way, or at the front of the client's input, was taken back.
  int times_sent_again() const { return unanswered_.times(); }
  /// The client's messages that it is about.
  std::string_view unanswered() const { return unanswered_.bytes(); }
  /// Instead of `lost`, where that is so, after `detach`: nothing of it is under way any more, nor has ended; the
  /// client has sent `unanswered` once more, before what it has sent since.
  void take_back(std::int64_t now);
  /// The client's input begins with what was taken back.
  bool is_sent_again() const { return unanswered_.repeats(); }
  /// It was, and nobody has waited since: how often. The server may have a better moment soon.
  int take_rest() { return unanswered_.take_rest(); }
  bool is_to_rest() const { return unanswered_.is_to_rest(); }
  /// Whatever becomes of what is under way, it isn't.
  void forbid_sending_again() { unanswered_.forbid(); }
  /// The server has taken its leave, for good, and the client needn't hear of it if what is under way is sent again.
  bool has_farewell() const { return !farewell_.empty() && ended_by_server_; }
  /// For `from_server`: now it is to.
  std::string take_farewell() {
    unanswered_.forbid();
    return std::exchange(farewell_, {});
  }

  /// No server connection could be had, for this reason: what the client asked for in `in` has ended.
  void refused(pgwire::Bytes in, std::string_view sqlstate, std::int64_t now);
  /// None can be had at present: the message at hand is refused with this by `from_client`, and the session goes on.
  void lacks_server(Error why) {
    why.sqlstate = server_out_of_reach;
    no_server_ = std::move(why);
  }
  /// None has come for as long as the message at hand may wait: likewise.
  void waited_in_vain(Error why) { no_server_ = std::move(why); }
  /// The client has cancelled the message at hand, while it waits for a server connection: likewise.
  void cancel_before_sent();
  bool refuses_next() const { return no_server_.has_value(); }
  /// After the client's last message: those that end what it left half done, with nothing of it done, as PostgreSQL
  /// does ("" if the server connection can't be saved).
  std::string ending();

  /// In transaction mode: the server connection holds nothing of this client and may go to another.
  bool releasable() const { return !session_.stays && writer_.attached() && !session_.pin.is_set() && idle(); }
  /// Nothing is under way: no answer is owed, no transaction is open, no message is half sent.
  bool idle() const;
  /// The server has been sent a part of a message, whose rest the client still has.
  bool client_mid_message() const { return reader_.mid_message() && !drops_rest_; }
  /// The client has the rest of a message of which a part was taken: sent, or left out.
  bool client_owes_rest() const { return reader_.mid_message(); }
  /// Of the input that `from_client` left: so much are whole messages that wait for one that needs the server. What the
  /// client has begun to say comes after them.
  std::size_t waiting() const { return reader_.waiting(); }
  /// The client has been sent a part of a message.
  bool server_mid_message() const { return server_stream_left_ > 0 && !server_stream_hidden_; }
  bool in_copy() const { return replies_.copy_in; }
  bool query_under_way() const { return !replies_.empty(); }
  /// What the server is at is Millrace's own, is answered by itself, and no cancel is meant for it. A guard is part of
  /// what it stands before, and may wait for a lock; what else is in a batch is answered with the client's.
  bool is_at_own() const {
    if (replies_.empty()) return false;
    using Purpose = Reply::Purpose;
    const Reply& first = replies_.all().front();
    const bool by_itself = first.ends_batch() || first.purpose == Purpose::begin || first.purpose == Purpose::session;
    return first.own() && first.purpose != Purpose::guard && by_itself;
  }
  /// Something of the client's is under way, maybe behind Millrace's own.
  bool is_at_clients() const { return !std::ranges::all_of(replies_.all(), &Reply::own); }
  /// How many statements of the client's have ended with 57014, such as by a cancel.
  std::uint64_t cancelled() const { return cancelled_; }
  bool unsynced() const { return replies_.unsynced; }
  /// The server ignores what it is sent up to a Sync.
  bool skipping() const { return replies_.skipping; }
  char transaction_status() const { return replies_.status; }
  /// Whether the next message must wait until the server has answered what was sent: what it is sent as depends on
  /// that.
  bool asking() const { return replies_.awaited; }
  /// For Next::elsewhere: somebody else asks the server the same, a proof is needed, or Millrace's own connections to a
  /// database have to end. `then` is called once, on some thread, and kept until then. False: there is nothing to wait
  /// for, and it isn't.
  bool wait_elsewhere(std::function<void()> then);
  /// It is the last of these, which mustn't be left out.
  bool wants_unused_databases() const { return unused_.wanted != nullptr; }
  std::chrono::nanoseconds longest_wait() const;
  /// For Next::turn: the message at hand is to wait for its turn. `then` is called once, on some thread and maybe at
  /// once.
  void wait_for_turn(std::function<void()> then, std::int64_t now);
  /// Between `wait_for_turn` and `end_wait_for_turn`; else null.
  const std::shared_ptr<executor::WaitingQuery>& turn() const { return turn_; }
  bool waits_for_turn() const { return turn_ && turn_->state() == executor::WaitingQuery::State::waits; }
  /// It needs a server connection, and its pool has none left.
  bool lacks_place() const { return turn_ && turn_->wanted().places && !turn_->wanted().places->any(); }
  /// When the message at hand goes on without a turn of its own, in ns of `now_ns()`; 0: never. Others that have turns
  /// may wait for what it holds.
  std::int64_t goes_on_anyway_at() const;
  enum class Waited {
    ended,        ///< it is let in, or refused
    too_long,     ///< as long as a query may wait
    long_enough,  ///< until `goes_on_anyway_at`
    timed_out,    ///< as long as it may take, waiting and all
    cancelled,
    no_server,  ///< the server can't be reached
    in_vain,    ///< nobody wants to know any more
  };
  /// It no longer waits. What isn't let in is answered with an error when `from_client` is called next (`refusal`).
  void end_wait_for_turn(Waited how, std::int64_t now);
  /// What the message at hand is refused with; null: it isn't.
  const Error* refusal() const { return refusal_ ? &refusal_->error : nullptr; }
  /// When the message at hand, which waits for its turn or a server connection, is over, in ns of `now_ns()`; 0: never.
  /// Then `from_client` refuses it.
  std::int64_t wait_ends_at() const {
    return wanted_limit_.ns == 0 || asked_at_ == 0 ? 0 : asked_at_ + wanted_limit_.ns;
  }
  /// A server connection is waited for: others may have the turn meanwhile. It goes on once there is one.
  void give_turn_back(std::int64_t now);
  /// One is on its way, or there.
  void has_place() { permit_.has_place(); }

  enum class Late : std::uint8_t {
    no,
    late,          ///< the server is to be told to cancel it, once more if it was before
    too_late,      ///< it was told so long ago
    ends_session,  ///< more was sent behind it, which a cancel might hit: `ended_for_exceeding`
  };
  /// Whether what runs has taken longer than it may, or `uses_too_much`.
  Late exceeds(std::int64_t now);
  /// What runs, and may use so much memory only. Nothing: nothing does, or it has exceeded a limit already.
  struct Watched {
    std::int64_t since = 0;    ///< of `now_ns()`: since when the server has been at it
    bool is_query = false;     ///< a SELECT or the like
    std::size_t quota_mb = 0;  ///< by the quotas of whose it is; 0: any amount
  };
  std::optional<Watched> watched() const;
  /// It has. `limit`: whose `megabytes` these are.
  void uses_too_much(std::size_t megabytes, std::string_view limit, std::int64_t now);
  /// What has exceeded its limit last still runs. Nothing was sent behind its batch.
  bool still_exceeds() const;
  /// What its client is told then.
  Error exceeded() const;
  Error ended_for_exceeding() const;
  /// When what runs has taken as long as it may, in ns of `now_ns()`; 0: it may take for ever.
  std::int64_t limit_at() const;
  /// Likewise, as long as its client wants.
  std::int64_t clients_limit_at() const;

  /// Once in a while: the slot of what waits for its client is given to others: of a transaction in which nothing
  /// happens, of a COPY to whose data nothing comes, of a long message. `is_unread`: the client doesn't take what it is
  /// answered.
  void lend_turn(std::int64_t now, bool is_unread);
  /// When others who wait may have the slot of a transaction in which nothing happens, in ns of `now_ns()`; 0: there is
  /// none, or nobody waits. Then it is time for `lend_idle_turn`.
  std::int64_t lends_at() const;
  void lend_idle_turn(std::int64_t now);
  /// Once in a while: nobody knows how far the server has come with a batch that the client hasn't ended. True: it is
  /// to be sent a Flush.
  bool wants_flush(std::int64_t now);

  /// How many messages wait for an answer.
  std::size_t backlog() const { return replies_.size(); }

  /// Of this client; never 0.
  std::uint64_t id() const { return id_; }
  /// Whether the client has its reads answered from memory where it can be.
  bool wants_memory() const { return scope_.wanted() || hinted_; }
  /// `from_client` has left messages that are there, as the client has much to take first: call it again then.
  bool stopped_short() const { return stopped_short_; }
  /// Why the client keeps its server connection; empty: it doesn't.
  const std::string& pinned() const { return session_.pin.why(); }
  SessionSettings& settings() { return session_.settings; }
  const SessionSettings& settings() const { return session_.settings; }
  std::string_view application;  ///< for the records; its text must stay

  /// The client's buffer has moved on by the time that it is parsed, so this is a copy.
  std::string take_to_parse() { return std::exchange(to_parse_, {}); }
  /// What `take_to_parse` is; for the next call.
  void parsed(StatementPtr statement) { understood_ = std::move(statement); }
  const Error& error() const { return error_; }
  bool fatal_seen() const { return fatal_sqlstate_.has_value(); }
  /// A statement was passed on that wants a database unused, such as DROP DATABASE; cleared by asking.
  bool take_wants_no_idle_sessions() { return std::exchange(wants_no_idle_sessions_, false); }
  /// A statement was executed that changes what new sessions start with, such as ALTER ROLE; cleared by asking.
  bool take_new_sessions_differ() { return std::exchange(new_sessions_differ_, false); }
  /// The client waited for the server connection that it gets.
  void count_wait(std::int64_t ns) { waited_ns_ += ns; }
  /// The client takes its answers slowly, or not at all: who asks the same no longer waits for them.
  void lead_nobody();
  /// For a client that rests: what it once needed more of goes back. Answers how many bytes about.
  std::size_t give_back_memory();

 private:
  using Item = ClientReader::Item;

  // from_client
  enum class Decided { send, answered, wait };
  Decided decide(const Item& item);
  bool may_answer_later(const pipeline::Exchange& exchange, const std::optional<Consistency>& level);
  void answer_transaction(pipeline::Exchange exchange);
  void answer_query(pipeline::Exchange exchange, const cache::Entry& entry);
  std::size_t answer_batch(const Item& item, pgwire::Bytes rest);
  void note_answered(BatchWalk& batch);
  void look_for_flight(const pipeline::Scope& scope, const pipeline::Question& question);
  bool waits_elsewhere();
  bool waits_for_proof(const pipeline::Scope& scope, const pipeline::Unproved& unproved);
  bool are_unused(const StatementPtr& statement);
  void hold_unused(Reply& reply);
  void is_not_done(Reply& reply);
  /// The message at hand was answered from memory: what it takes the server.
  void note_saved(std::int64_t cost_ns);
  bool is_untouched() const;
  void on_way();
  pipeline::Explanation explain(const pipeline::Question& question, const sql::Statement& statement);
  char status_here() const;
  Decided answer_millrace_query(pipeline::Exchange exchange, std::string_view text);
  std::size_t answer_millrace_batch(const Item& item, pgwire::Bytes rest);
  void give_token(const sql::Statement& statement, char type, pgwire::Bytes body);
  bool reads_committed(const pipeline::Scope& scope);
  const pipeline::Scope* scope_of_session();
  bool server_is_clear();
  std::optional<bool> is_seen_through(const pipeline::Effects& effects) const;
  void forget_servers_portal();
  Hindrance hindrance(const pipeline::Scope* scope, bool wanted);
  const pipeline::Scope* scope_for_answers(bool wanted);
  const pipeline::Scope* scope_for_fills(bool wanted);
  std::optional<Consistency> level_of(std::string_view text);
  pipeline::Needed needed(const Consistency& level, const pipeline::Scope& scope, std::int64_t seen);
  void begin_fill(pipeline::Exchange& exchange, const pipeline::Question& question, const StatementPtr& statement,
                  std::optional<std::uint64_t> meant = {});
  pipeline::MeantByNames meant_by_names(const StatementPtr& statement);
  enum class Rewriting {
    none,   ///< it is sent as it is
    waits,  ///< for what the guard says
    holds,  ///< what stands for it may be executed
  };
  const pipeline::Scope* scope_for_rewrites();
  Rewriting rewrite(const pipeline::Question& question, const StatementPtr& statement, std::string_view name);
  void give_sample(pipeline::Rewrites& rewrites, const pipeline::Question& question);
  bool wants_to_know_session() const;
  bool may_ask_for_session() const;
  void hide_own_question(const Item& item);
  void note_session(const Item& item);
  bool can_see_session(const pipeline::Scope* scope);
  bool asks_for_session(const Item& item);
  void hear_session(pgwire::Bytes data_row);
  void hear_guard(pgwire::Bytes data_row);
  void hear_guards_error(Reply& reply, pgwire::Bytes error);
  void guarded_failed(std::string_view sqlstate);
  bool recover_guarded(const Item& item, bool& taken);
  void bind_rewritten(const StatementPtr& statement, std::string_view parameters, Reply::Shown shown);
  void execute_guarded_query(const StatementPtr& statement, std::string_view text);
  void note_cost(const Reply& reply);
  void as_of_original(pgwire::Bytes body, std::size_t total);
  void judge_for_server(const StatementPtr& statement, const pipeline::Effects& effects);
  void note_for_cache(const StatementPtr& statement);
  void begin_unanswered(std::size_t at);
  bool could_be_sent_again() const;
  bool changes_nothing_by_now();
  bool hears_farewell(pgwire::Bytes in);
  void want_server(pgwire::Bytes rest, const Item& item);
  bool is_out_of_reach(const Item& item);
  bool has_no_server() const;
  std::size_t answer_without_server(const Item& item, pgwire::Bytes rest);
  bool needs_no_server(const Item& item);
  bool answer_idle_query(const Item& item);
  bool has_turn(pgwire::Bytes rest, const Item& item);
  std::string_view text_asked(const Item& item, StatementPtr& statement);
  pipeline::SentText sent_asked(const Item& item, std::string_view text, const StatementPtr& statement);
  static std::string_view text_of_prepared(const Prepared* prepared);
  const Wishes& wishes_of(std::string_view text);
  const std::shared_ptr<const backend::Settings>& set_here() const;
  std::shared_ptr<const AskedFor> asked_for(const pipeline::Exchange& exchange);
  Limit limit_of(const Wishes& wishes, const StatementPtr& statement) const;
  Limit limit_of(std::string_view text, const StatementPtr& statement);
  const Reply* runs_now() const;
  std::int64_t runs_since(const Reply& reply) const;
  void note_wishes(const sql::Statement& statement);
  void note_locks(const sql::Statement& statement);
  /// Whether it makes the server work; what only ends or goes on with something doesn't.
  static bool asks_for_work(char type);
  bool rests() const;
  bool goes_on(const StatementPtr& statement) const;
  bool releases_locks(const StatementPtr& statement, std::string_view text) const;
  bool others_wait() const;
  bool follows_a_batch() const;
  bool must_be_answered_before() const;
  bool follows_a_limited_one(char type) const;
  void set_limit(Reply& reply, const Limit& limit);
  void end_turn();
  void lend(std::int64_t now);
  bool is_idle_with_turn() const;
  bool is_amid_sending() const;
  void go_on_with_lent_turn();
  void take_turn_again();
  executor::Party& keep(const std::shared_ptr<executor::Party>& party);
  Error out_of_reach() const;
  Error why_not_let_in(Waited how, const executor::WaitingQuery& turn, std::int64_t waited) const;
  void refuse(Error error, const StatementPtr& statement, pipeline::SentText sent);
  void answer_refused(const Item& item);
  Decided answer_failed(const Item& item);
  bool take(const Item& item);
  bool on_item(const Item& item);
  bool on_query(const Item& item);
  bool on_parse(const Item& item);
  bool on_long_parse(const Item& item);
  std::optional<ServerWriter::Columns> have_on_server(std::string_view name, Prepared* prepared);
  bool on_bind(const Item& item);
  void bind_guarded(const Prepared& prepared, pgwire::Bytes parameters);
  void note_bound(const Prepared* prepared, const StatementPtr& statement, const Text& text, bool named,
                  pgwire::Bytes parameters);
  void note_bound_for_record(pgwire::Bytes parameters);
  bool on_describe(const Item& item);
  bool on_execute(const Item& item);
  bool on_close(const Item& item);
  bool on_function_call();
  void on_copy_end();
  void on_sync();
  StatementPtr statement_of(const Item& query);
  StatementPtr understand(std::string_view text);
  void note(const sql::Statement& statement);
  void note_wait();
  void pin_unseen(std::string_view why);
  bool settle();
  bool break_off(std::string message, std::string sqlstate = "08P01");

  // from_server
  static std::string took_longer(const Limit& limit);
  static Error timed_out(const Limit& limit);
  static Error exceeds(const executor::Exceeded& exceeded);
  void say_that_it_exceeded(Reply& reply);
  void add_to_fill(pipeline::Fill& fill, const Reply& reply, char type, pgwire::Bytes part);
  void complete_fill(Reply& reply);
  void apply_changes(bool all_done, bool is_certain = true);
  bool may_pass_in_parts(char type, std::size_t there, std::size_t total);
  bool on_message(char type, pgwire::Bytes body, std::size_t total);
  bool on_error(pgwire::Bytes body, std::size_t total);
  bool on_statement_end();
  bool on_described(std::uint64_t columns);
  void on_tag(std::string_view tag, Reply& reply);
  bool on_ready(char status);
  void on_parameter(std::string_view name, std::string_view value);
  bool leaves_a_name(const Reply& reply) const;
  void translate_names_in_error(const Reply& reply, pgwire::Bytes body, std::size_t total);

  /// Of a text that isn't parsed.
  static const StatementPtr& too_long();
  void ended(Reply& reply);
  void ended(const pipeline::Exchange& exchange);
  void record(const pipeline::Exchange& exchange, const AskedFor* asked_for);
  backend::ServerState& server() { return writer_.server(); }

  pipeline::Pipeline& pipeline_;
  const Options options_;
  const std::uint64_t id_;

  ClientReader reader_;
  Replies replies_;
  SessionState session_;
  ServerWriter writer_;

  SessionScope scope_;
  pipeline::Changes changes_;         ///< of what was sent and isn't known to be committed
  std::uint64_t attached_epoch_ = 0;  ///< `SessionScope::epoch`, when the server connection was attached
  bool portal_is_here_ = false;       ///< the unnamed portal was made, or dropped, without the server
  bool binds_unseen_ = false;         ///< a portal may be of a statement that isn't known
  bool names_are_unclear_ = false;    ///< which tables its names mean may have been set, unseen
  bool hinted_ = false;               ///< a comment has asked for what the session doesn't
  bool doubt_ = false;                ///< something is under way, or ran in this transaction, that may not only read
  std::shared_ptr<pipeline::Fill> bound_;                         ///< of the unnamed portal that this batch has bound
  CacheUse bound_use_ = CacheUse::none;                           ///< likewise
  std::string bound_parameters_;                                  ///< likewise; may be cut off
  Text bound_text_;                                               ///< likewise: as it was written
  std::shared_ptr<const pipeline::ProvedRewrite> bound_rewrite_;  ///< likewise, until it is bound anew
  std::int64_t bound_since_ = 0;                                  ///< of that
  std::uint64_t committed_at_ = 0;                                ///< a version of the catalog
  bool commits_are_seen_ = false;                                 ///< as of `committed_at_`

  /// Of the message at hand.
  struct Elsewhere {
    std::uint64_t flight = 0;    ///< that it may wait for, of pipeline::Flights; 0: none
    integration::Moments proof;  ///< that must be proved; rows 0: none
    bool waited_for_flight = false, waited_for_proof = false;
    std::int64_t since = 0;    ///< it waits, or waited; 0: it didn't
    std::int64_t in_vain = 0;  ///< so long it waited, before it is sent
    std::int64_t arrived = 0;  ///< when it was looked at first; 0: not yet

    std::int64_t waited(std::int64_t now) const { return since == 0 ? 0 : now - since; }
  };
  Elsewhere elsewhere_;
  /// Of the message at hand: what stands for it.
  struct Guarded {
    bool looked = false;          ///< for something
    bool holds = false;           ///< the guard has said so
    bool failed = false;          ///< what was sent for it; the server skips what follows
    bool in_transaction = false;  ///< of the client's
    bool errors_are_told = false;
    std::int64_t since = 0;
    std::shared_ptr<const PreparedRewrite> rewrite = {};  ///< null: nothing was sent
    std::string name = {};                                ///< the client's, of its statement
    pipeline::Exchange exchange = {};                     ///< for its fill
  };
  Guarded guarded_;
  /// The databases that the message at hand wants unused.
  struct Unused {
    StatementPtr wanted;                ///< null: nobody has to be asked to let them go
    bool asked = false;                 ///< who has them open
    std::shared_ptr<const void> until;  ///< of `ReadCache::let_go`
  };
  Unused unused_;
  ProofWaits proof_waits_;

  // Of the executor; relay_turn.cpp.
  std::optional<SessionWishes> wishes_;            ///< null: there is no executor
  std::shared_ptr<const backend::Settings> here_;  ///< millrace's settings of a client that stays on its connection
  std::shared_ptr<executor::Party> party_;         ///< whose turn it is, or was last
  executor::Permit permit_;                        ///< while something runs, or a transaction is open
  bool is_lent_ = false;                           ///< the turn was given to others
  bool may_hold_locks_ = false;                    ///< that outlive transactions
  std::uint64_t heard_ = 0;                        ///< bytes that were taken from the client, since it was looked last
  bool is_slow_ = false;                           ///< it was then
  std::uint64_t flushed_to_ = 0;                   ///< a Reply's number: a Flush of ours was behind it
  std::uint64_t last_limited_ = 0;                 ///< likewise: its client has limited it
  std::shared_ptr<executor::WaitingQuery> turn_;   ///< of the message at hand
  std::int64_t asked_at_ = 0;                      ///< likewise: when it first asked for one; 0: it hasn't
  bool had_turn_ = false;                          ///< likewise: it isn't to wait for another
  bool is_charged_ = false;                        ///< likewise: to its quotas
  StatementPtr asked_for_turn_;                    ///< likewise; null: not known
  pipeline::SentText sent_for_turn_;               ///< its text
  Wishes wanted_;                                  ///< likewise
  Limit wanted_limit_;                             ///< likewise
  Limit bound_limit_;                              ///< of the unnamed portal that this batch has bound
  std::int64_t last_ended_ = 0;                    ///< when a statement has ended last
  /// With its permit, the first statement that has come to a good end.
  struct FirstEnded {
    std::uint64_t fingerprint = 0;
    std::int64_t at = 0;  ///< 0: none has
    bool failed = false;  ///< one has, which wasn't cancelled
  };
  FirstEnded first_ended_;
  /// What was found to take too long last.
  struct Exceeded {
    std::uint64_t number = 0;  ///< of its Reply; 0: nothing
    std::uint64_t batch = 0;
    std::int64_t since = 0;
    std::string how = {};
    std::string sqlstate = "57014";
  };
  Exceeded exceeded_;
  /// The message at hand isn't sent, nor is what depends on it.
  struct Refusal {
    Error error;
    bool told = false;
    bool to_sync = false;
  };
  std::optional<Refusal> refusal_;
  std::optional<Error> no_server_;  ///< likewise, if it needs one; null: one may be had
  /// Something was refused in a transaction whose BEGIN is held: for its client it has failed.
  bool failed_here_ = false;
  bool drops_rest_ = false;  ///< of a message that was refused when a part of it had come
  std::int64_t seen_;        ///< the last moment that something is of which the client was shown
  std::int64_t wrote_ = 0;   ///< when something that it may have written was committed last; 0: never

  Unanswered unanswered_;
  std::size_t told_ = 0;          ///< of `answers_`: what comes behind that is answered of it
  std::string farewell_;          ///< the server's last words; "": none, or they were passed on
  bool ended_by_server_ = false;  ///< it can't say more

  std::int64_t now_ = 0;
  std::int64_t waited_ns_ = 0;
  std::uint64_t cancelled_ = 0;
  std::optional<std::array<char, 6>> fatal_sqlstate_;
  bool wants_no_idle_sessions_ = false;
  bool new_sessions_differ_ = false;
  bool new_sessions_differ_at_end_ = false;  ///< of the transaction: a session that began before it saw nothing of it

  std::uint64_t server_stream_left_ = 0;  ///< bytes of a server's message that pass unseen
  bool server_stream_hidden_ = false;
  char server_stream_type_ = 0;

  Passage to_server_, to_client_;
  bool stopped_short_ = false;
  bool awaits_batch_ = false;  ///< what is there of a batch waits for its end
  std::string answers_;        ///< to the client, to what the server isn't asked
  std::string instead_;        ///< to the client, instead of the server's message at hand
  bool dropped_ = false;       ///< the server's message at hand isn't passed on
  Next stop_ = Next::more;
  std::string to_parse_;
  StatementPtr understood_;  ///< the client's message at hand; null: not yet
  Error error_;
};

}  // namespace millrace::gateway
