// What of the relay answers from memory, and keeps answers.
#include "gateway/batch_answer.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;

bool begins_batch(char type) {
  switch (type) {
    case frontend::parse:
    case frontend::bind:
    case frontend::describe:
    case frontend::execute:
    case frontend::close:
    case frontend::sync:
      return true;
    default:
      return false;
  }
}

/// Of statements that ran on a server connection while the catalog wasn't known.
constexpr std::size_t most_unjudged = 64;

/// Of a server connection, with what it meant where it ran.
struct Unjudged {
  std::shared_ptr<const pipeline::Scope> scope;
  StatementPtr statement;

  bool operator==(const Unjudged&) const = default;
};

const Unjudged& unjudged(const std::shared_ptr<const void>& ran) { return *static_cast<const Unjudged*>(ran.get()); }
/// Then the server is asked.
constexpr auto longest_wait_for_proof = std::chrono::milliseconds(20);

bool pins(const sql::Statement& statement) {
  return std::ranges::any_of(
      statement.changes, [](const sql::SessionChange& change) { return change.what == sql::SessionChange::What::pin; });
}

}  // namespace

/// Whether a transaction that begins without options sees what is committed before each of its statements.
bool Relay::reads_committed(const pipeline::Scope& scope) {
  const auto version = pipeline_.cache()->versions().current(scope.catalog);
  if (!commits_are_seen_ || version != committed_at_) {
    committed_at_ = version;
    commits_are_seen_ = pipeline_.reads_committed(scope);
  }
  return commits_are_seen_;
}

/// Null: what the client has set isn't certain, or there is no cache.
const pipeline::Scope* Relay::scope_of_session() {
  if (!scope_.has_cache() || session_.settings.changes_of_meaning().any()) return nullptr;
  return scope_.of(session_.settings.current());
}

/// Whether the server connection, if there is one, is known to be as a new one with the client's settings would be.
bool Relay::server_is_clear() {
  if (!writer_.attached()) return true;
  auto& state = server();
  if (attached_epoch_ != scope_.epoch() || state.unclear) return false;
  std::erase_if(state.unjudged, [this, &state](const auto& ran) {
    const auto& [scope, statement] = unjudged(ran);
    const auto seen = is_seen_through(pipeline_.effects_of(*scope, statement));
    if (seen == false) state.unclear = state.ran_unseen = true;
    return seen.has_value();
  });
  return !state.unclear && state.unjudged.empty();
}

/// Whether nothing that it runs leaves anything on the server connection unseen. Null: that can't be told yet.
std::optional<bool> Relay::is_seen_through(const pipeline::Effects& effects) const {
  // A connection that goes to others is cleared before they have it, so there is no need to wait.
  if (effects.lacks_relations && !session_.stays) return false;
  return effects.seen_through;
}

/// The server may still have an unnamed portal that the client has no more.
void Relay::forget_servers_portal() {
  if (!std::exchange(portal_is_here_, false)) return;
  pgwire::append_close(writer_.before, 'P', "");
  replies_.owe(Reply::Kind::close, now_).shown = Reply::Shown::errors;
}

/// Why an answer of this session isn't to be kept. `scope`: `scope_of_session`.
Hindrance Relay::hindrance(const pipeline::Scope* scope, bool wanted) {
  if (scope == nullptr) return scope_.has_cache() ? Hindrance::settings_under_way : Hindrance::no_cache;
  if (!wanted && scope_.lacks_stream()) return Hindrance::no_stream;
  if (!session_.moves) return Hindrance::asked_too_late;
  if (!wanted) return Hindrance::not_wanted;
  if (names_are_unclear_) return Hindrance::names_unclear;
  if (!scope->why_not.empty()) return Hindrance::settings;
  if (session_.pin.matters_to_reads()) return Hindrance::pinned;
  if (doubt_) return Hindrance::transaction;
  if (replies_.status == 'E') return Hindrance::failed_transaction;
  if (!reads_committed(*scope)) return Hindrance::isolation;
  return server_is_clear() ? Hindrance::none : Hindrance::server_state;
}

/// Null: an answer of this session isn't to be kept. What of the same transaction ran before only read, and it sees
/// what is committed.
const pipeline::Scope* Relay::scope_for_fills(bool wanted) {
  const pipeline::Scope* const scope = scope_of_session();
  return hindrance(scope, wanted) == Hindrance::none ? scope : nullptr;
}

/// Null: nothing is answered from memory at present. What is under way would have to be answered before.
const pipeline::Scope* Relay::scope_for_answers(bool wanted) {
  const bool quiet = replies_.nothing_under_way() && !replies_.skipping && !replies_.copy_in;
  return quiet ? scope_for_fills(wanted) : nullptr;
}

/// How fresh the client wants answers from memory to this text to be, by what it has set or by a comment. Null: it
/// wants none.
std::optional<Consistency> Relay::level_of(std::string_view text) {
  if (scope_.of(session_.settings.current()) == nullptr) return std::nullopt;
  auto level = scope_.level_of(text.substr(0, text.find('\0')));
  if (level && !scope_.wanted()) {
    hinted_ = true;
    scope_.ask_by_comment();
  }
  return level;
}

/// For the message at hand, of a client that was shown what was there at `seen`.
pipeline::Needed Relay::needed(const Consistency& level, const pipeline::Scope& scope, std::int64_t seen) {
  if (elsewhere_.arrived == 0) elsewhere_.arrived = now_;
  const pipeline::SessionTime time{.seen = seen, .wrote = scope.wrote->load(std::memory_order_acquire), .own = wrote_};
  return pipeline::needed(level, time, elsewhere_.arrived);
}

void Relay::answer_query(pipeline::Exchange exchange, const cache::Entry& entry) {
  session_.names.unnamed.reset();
  session_.names.unnamed_portal = {};
  portal_is_here_ = true;
  const std::size_t before = answers_.size();
  answers_.append(entry.head()).append(entry.body());
  session_.read_in_held_begin = !session_.held_begin.empty();
  pgwire::append_ready_for_query(answers_, status_here());
  seen_ = std::max(seen_, pipeline::shown_until(entry));
  note_saved(entry.cost_ns());
  exchange.rows = entry.rows();
  exchange.cache = CacheUse::hit;
  exchange.bytes_out = answers_.size() - before;
  ended(exchange);
}

/// What is answered now is in: as ReadyForQuery says it.
char Relay::status_here() const {
  return !session_.held_begin.empty() || (writer_.attached() && replies_.status == 'T') ? 'T' : 'I';
}

/// It isn't known here what the message at hand asks: somebody else may be asking the server the same.
void Relay::look_for_flight(const pipeline::Scope& scope, const pipeline::Question& question) {
  // In a transaction of the server's, the leader may be waiting for locks that this client holds.
  const bool holds_locks = writer_.attached() && replies_.status != 'I';
  if (!elsewhere_.waited_for_flight && !holds_locks) elsewhere_.flight = pipeline_.flight_of(scope, question);
}

void Relay::lead_nobody() {
  for (const Reply& reply : replies_.all()) {
    if (reply.exchange.fill) reply.exchange.fill->flight.reset();
  }
}

/// The client has nothing that a RESET ALL, say, would undo, and is in no transaction.
bool Relay::is_untouched() const {
  return !session_.stays && replies_.nothing_under_way() && replies_.status == 'I' && session_.held_begin.empty() &&
         !session_.pin.is_set() && session_.settings.are_as_begun();
}

bool Relay::waits_for_proof(const pipeline::Scope& scope, const pipeline::Unproved& unproved) {
  if (!unproved) return false;
  const bool catalogs = unproved.moments.catalogs > scope.freshness->certain_until();
  if (elsewhere_.waited_for_proof) {
    if (elsewhere_.in_vain != 0) return false;  // which was told
    scope.freshness->waited_in_vain(elsewhere_.waited(now_), catalogs);
    proof_waits_.waited_in_vain();
    return false;
  }
  if (!proof_waits_.pays(scope.freshness->usual_wait_ns(catalogs), unproved.cost_ns)) {
    scope.freshness->want_in_passing(unproved.moments, unproved.cost_ns, now_);
    return false;
  }
  elsewhere_.proof = unproved.moments;
  return true;
}

void Relay::note_saved(std::int64_t cost_ns) {
  if (std::exchange(elsewhere_.waited_for_proof, false)) proof_waits_.waited(elsewhere_.waited(now_));
  proof_waits_.saved(cost_ns);
}

/// Once for each message and reason.
bool Relay::waits_elsewhere() {
  auto& [flight, proof, waited_for_flight, waited_for_proof, since, in_vain, arrived] = elsewhere_;
  if (waited_for_proof) proof = {};
  if (waited_for_flight) flight = 0;
  if (proof.rows != 0) {
    waited_for_proof = true;
  } else if (flight != 0) {
    waited_for_flight = true;
  } else {
    if (since != 0) {
      in_vain = now_ - since;
      waited_ns_ += now_ - std::exchange(since, 0);
    }
    return false;
  }
  if (since == 0) since = now_;
  stop_ = Next::elsewhere;
  return true;
}

/// False: what Millrace itself has open in the databases that the statement wants unused has to end first.
bool Relay::are_unused(const StatementPtr& statement) {
  if (statement->unused_databases.empty() || !scope_.has_cache() || !pipeline_.cache()->lets_go()) return true;
  if (unused_.asked) return true;
  if (elsewhere_.since == 0) elsewhere_.since = now_;
  unused_.wanted = statement;
  stop_ = Next::elsewhere;
  return false;
}

/// From now on they are so until the transaction ends, or the statement has failed.
void Relay::hold_unused(Reply& reply) {
  if (!unused_.until) return;
  changes_.databases.push_back(unused_.until);
  reply.unused = std::exchange(unused_.until, nullptr);
}

/// It has failed, or is skipped.
void Relay::is_not_done(Reply& reply) {
  if (reply.unused) std::erase(changes_.databases, std::exchange(reply.unused, nullptr));
}

bool Relay::wait_elsewhere(std::function<void()> then) {
  if (const auto wanted = std::exchange(unused_.wanted, nullptr)) {
    unused_.asked = true;
    auto [until, waits] =
        pipeline_.cache()->let_go(wanted->unused_databases, std::string(options_.user), std::move(then));
    unused_.until = std::move(until);
    return waits;
  }
  if (elsewhere_.proof.rows == 0) return pipeline_.cache()->flights().wait(elsewhere_.flight, std::move(then));
  const auto& scope = *scope_.of(session_.settings.current());
  return scope.freshness->want(elsewhere_.proof, std::move(then));
}

std::chrono::nanoseconds Relay::longest_wait() const {
  if (unused_.asked) return pipeline::ReadCache::longest_letting_go;
  return elsewhere_.proof.rows == 0 ? pipeline::Flights::longest_wait : longest_wait_for_proof;
}

/// So many bytes of the batch that the item begins; 0: it isn't answered here.
std::size_t Relay::answer_batch(const Item& item, Bytes rest) {
  if (!begins_batch(item.type)) return 0;
  if (const std::size_t used = answer_millrace_batch(item, rest); used > 0) return used;
  if (stop_ != Next::more || awaits_batch_ || !scope_.has_cache()) return 0;
  scope_.of(session_.settings.current());
  if (!scope_.wanted() && !hinted_) return 0;
  const pipeline::Scope* const scope = scope_for_answers(true);
  if (scope == nullptr) return 0;
  const auto& portal = session_.names.unnamed_portal.statement;
  BatchAnswer batch(pipeline_, session_, writer_,
                    {.scope = *scope,
                     .wanted = [&](std::string_view text, std::int64_t shown) -> std::optional<BatchAnswer::Wanted> {
                       const auto level = level_of(text);
                       if (!level) return std::nullopt;
                       return BatchAnswer::Wanted{level->level, needed(*level, *scope, std::max(seen_, shown))};
                     },
                     .status = status_here(),
                     .now = now_,
                     .has_finished = portal_is_here_ && portal && pipeline::may_only_read(*portal)});
  const std::size_t used = batch.answer(rest, answers_);
  const bool waits = used == 0 && waits_for_proof(*scope, batch.unproved());
  if (used == 0 && !waits && batch.missed()) look_for_flight(*scope, *batch.missed());
  if (used > 0) {
    seen_ = std::max(seen_, batch.shown_until());
    note_saved(batch.saved_ns());
    note_answered(batch);
  }
  return used;
}

/// So many bytes of the batch that the item begins, where no server connection can be had or the server knows nothing
/// of a transaction that has failed: the end of that transaction, and empty texts. Where there is none, also of one
/// that only closes, or is a Sync alone. 0: it holds anything else, or isn't all there.
std::size_t Relay::answer_without_server(const Item& item, Bytes rest) {
  const bool is_refused = begins_batch(item.type) && (failed_here_ || has_no_server());
  if (!is_refused && (writer_.attached() || !only_closes(rest))) return 0;
  static const pipeline::Scope nowhere;
  BatchAnswer batch(pipeline_, session_, writer_,
                    {.scope = nowhere,
                     .wanted = [](std::string_view, std::int64_t) { return std::nullopt; },
                     .status = failed_here_ ? 'E' : status_here(),
                     .now = now_,
                     .has_finished = false,
                     .answers_empty = failed_here_ || (options_.breaker && options_.breaker->refuses())});
  const std::size_t used = batch.answer(rest, answers_);
  awaits_batch_ = batch.lacks_its_end() && rest.size() < pipeline_.limits().max_bytes;
  if (used == 0) return 0;
  failed_here_ = failed_here_ && batch.status() == 'E';
  note_answered(batch);
  return used;
}

void Relay::note_answered(BatchWalk& batch) {
  if (batch.changes_portal()) portal_is_here_ = true;
  for (auto& exchange : batch.exchanges()) {
    exchange.waited = elsewhere_.waited(now_);
    ended(exchange);
  }
}

/// `statement`: null: not known.
pipeline::MeantByNames Relay::meant_by_names(const StatementPtr& statement) {
  if (!scope_.has_cache() || !statement) return {};
  const pipeline::Scope* const scope = scope_of_session();
  return scope == nullptr ? pipeline::MeantByNames() : pipeline_.meant_by_names(statement, *scope);
}

/// `statement`: null: not known. `meant`: see `Pipeline::begin_fill`.
void Relay::begin_fill(pipeline::Exchange& exchange, const pipeline::Question& question, const StatementPtr& statement,
                       std::optional<std::uint64_t> meant) {
  if (!scope_.has_cache() || !statement || question.text.empty()) return;
  const auto level = level_of(question.text);
  const bool wanted = level.has_value();
  const pipeline::Scope* const scope = scope_of_session();
  if (const auto found = hindrance(scope, wanted); found != Hindrance::none) {
    if (!wanted || question.kind == pipeline::Question::Kind::columns) return;
    pipeline_.count_refusal(*statement, code_of(found, scope));
    exchange.cache = CacheUse::bypass;
    return;
  }
  exchange.fill = pipeline_.begin_fill(*scope, question, statement, *level, now_, elsewhere_.in_vain, meant);
  exchange.cache = exchange.fill ? CacheUse::miss : CacheUse::bypass;
}

/// Whether what it runs may leave something on the server connection that nobody sees.
void Relay::judge_for_server(const StatementPtr& statement, const pipeline::Effects& effects) {
  auto& state = server();
  if (state.unclear) return;
  if (const auto seen = is_seen_through(effects)) {
    if (!*seen) state.unclear = state.ran_unseen = true;
    return;
  }
  const Unjudged now{.scope = scope_.shared(), .statement = statement};
  const auto is_now = [&now](const auto& ran) { return unjudged(ran) == now; };
  if (std::ranges::any_of(state.unjudged, is_now)) return;
  if (state.unjudged.size() >= most_unjudged) state.unclear = state.ran_unseen = true;
  state.unjudged.push_back(std::make_shared<const Unjudged>(now));
}

/// It is executed. Null: it isn't known.
void Relay::note_for_cache(const StatementPtr& statement) {
  if (!scope_.has_cache() || (statement && statement->shows_token)) return unanswered_.forbid();  // which does nothing
  const auto& scope = *scope_.of(session_.settings.current());
  const auto effects = pipeline_.effects_of(scope, statement);
  const bool steps = statement && !statement->transaction_tag.empty();
  if (!steps && !((scope_.wanted() || hinted_ || scope_.rewrites()) && effects.only_reads)) doubt_ = true;
  if (!session_.moves && (!statement || change_of(*statement).names || pins(*statement))) names_are_unclear_ = true;
  judge_for_server(statement, effects);
  const bool clear = !names_are_unclear_ && !server().unclear && attached_epoch_ == scope_.epoch() &&
                     !session_.settings.changes_of_meaning().any() && !session_.pin.matters_to_reads();
  if (!effects.changes_nothing || !clear || !server().unjudged.empty()) unanswered_.forbid();
  pipeline_.add_changes(changes_, scope, effects, clear);
}

}  // namespace millrace::gateway
