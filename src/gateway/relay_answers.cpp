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

/// Whether the server connection, if there is one, is as a new one with the client's settings would be.
bool Relay::server_is_clear(const pipeline::Scope& scope) {
  if (!writer_.attached()) return true;
  auto& state = server();
  if (attached_epoch_ != pipeline_.cache()->epoch() || state.unclear) return false;
  for (const auto& ran : std::exchange(state.unjudged, {})) {
    const auto statement = std::static_pointer_cast<const sql::Statement>(ran);
    if (!pipeline_.is_seen_through(scope, statement).value_or(false)) state.unclear = true;
  }
  return !state.unclear;
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
  if (!session_.moves) return Hindrance::asked_too_late;
  if (!wanted) return Hindrance::not_wanted;
  if (names_are_unclear_) return Hindrance::names_unclear;
  if (!scope->why_not.empty()) return Hindrance::settings;
  if (session_.pin.is_set()) return Hindrance::pinned;
  if (doubt_) return Hindrance::transaction;
  if (replies_.status == 'E') return Hindrance::failed_transaction;
  if (!reads_committed(*scope)) return Hindrance::isolation;
  return server_is_clear(*scope) ? Hindrance::none : Hindrance::server_state;
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

/// Whether the client wants answers from memory to this text, by what it has set or by a comment.
bool Relay::wants_answer(std::string_view text) {
  if (scope_.of(session_.settings.current()) == nullptr) return false;
  const bool wanted = asks_for_answers(text.substr(0, text.find('\0'))).value_or(scope_.wanted());
  if (wanted && !scope_.wanted()) {
    hinted_ = true;
    scope_.ask_by_comment();
  }
  return wanted;
}

void Relay::answer_query(pipeline::Exchange exchange, const cache::Entry& entry) {
  session_.names.unnamed.reset();
  session_.names.unnamed_portal.reset();
  portal_is_here_ = true;
  const std::size_t before = answers_.size();
  answers_.append(entry.head()).append(entry.body());
  const bool in_transaction = !session_.held_begin.empty() || (writer_.attached() && replies_.status == 'T');
  session_.read_in_held_begin = !session_.held_begin.empty();
  pgwire::append_ready_for_query(answers_, in_transaction ? 'T' : 'I');
  exchange.rows = entry.rows();
  exchange.cache = CacheUse::hit;
  exchange.bytes_out = answers_.size() - before;
  Reply reply;
  reply.exchange = std::move(exchange);
  ended(reply);
}

/// It isn't known here what the message at hand asks: somebody else may be asking the server the same.
void Relay::look_for_flight(const pipeline::Scope& scope, const pipeline::Question& question) {
  // In a transaction of the server's, the leader may be waiting for locks that this client holds.
  const bool holds_locks = writer_.attached() && replies_.status != 'I';
  if (flight_awaited_ == 0 && !holds_locks) flight_ = pipeline_.flight_of(scope, question);
}

/// The client has nothing that a RESET ALL, say, would undo, and is in no transaction.
bool Relay::is_untouched() const {
  return !session_.stays && replies_.nothing_under_way() && replies_.status == 'I' && session_.held_begin.empty() &&
         !session_.pin.is_set() && session_.settings.are_as_begun();
}

/// Once for each message.
bool Relay::waits_for_flight() {
  if (flight_ == 0) return false;
  if (flight_awaited_ == 0) {
    flight_awaited_ = now_;
    stop_ = Next::flight;
    return true;
  }
  flight_ = 0;
  waited_ns_ += now_ - flight_awaited_;
  return false;
}

/// So many bytes of the batch that the item begins; 0: it isn't answered here.
std::size_t Relay::answer_batch(const Item& item, Bytes rest) {
  if (!begins_batch(item.type)) return 0;
  if (const std::size_t explained = explain_batch(item, rest); explained > 0) return explained;
  if (stop_ != Next::more || awaits_batch_ || !scope_.has_cache()) return 0;
  scope_.of(session_.settings.current());
  if (!scope_.wanted() && !hinted_) return 0;
  const pipeline::Scope* const scope = scope_for_answers(true);
  if (scope == nullptr) return 0;
  const bool in_transaction = !session_.held_begin.empty() || (writer_.attached() && replies_.status == 'T');
  BatchAnswer batch(pipeline_, session_, writer_,
                    {.scope = *scope, .wanted = scope_.wanted(), .status = in_transaction ? 'T' : 'I', .now = now_});
  const std::size_t used = batch.answer(rest, answers_);
  if (batch.missed()) look_for_flight(*scope, *batch.missed());
  if (used > 0 && batch.changes_portal()) portal_is_here_ = true;
  for (const auto& exchange : batch.exchanges()) {
    Reply reply;
    reply.exchange = exchange;
    if (flight_awaited_ != 0) reply.exchange.waited = now_ - flight_awaited_;
    ended(reply);
  }
  return used;
}

/// `statement`: null: not known.
void Relay::begin_fill(pipeline::Exchange& exchange, const pipeline::Question& question,
                       const StatementPtr& statement) {
  if (!scope_.has_cache() || !statement || question.text.empty()) return;
  const bool wanted = wants_answer(question.text);
  const pipeline::Scope* const scope = scope_of_session();
  if (const auto found = hindrance(scope, wanted); found != Hindrance::none) {
    if (!wanted || question.kind == pipeline::Question::Kind::columns) return;
    pipeline_.count_refusal(*statement, code_of(found, scope));
    exchange.cache = CacheUse::bypass;
    return;
  }
  exchange.fill = pipeline_.begin_fill(*scope, question, statement, now_);
  exchange.cache = exchange.fill ? CacheUse::miss : CacheUse::bypass;
}

/// Whether what it runs may leave something on the server connection that nobody sees.
void Relay::judge_for_server(const pipeline::Scope& scope, const StatementPtr& statement) {
  auto& state = server();
  if (state.unclear) return;
  // Where nobody wants answers from memory, nobody looks.
  const bool looks = statement && pipeline_.cache()->in_use();
  const auto seen = looks ? pipeline_.is_seen_through(scope, statement) : std::optional(false);
  if (seen) {
    state.unclear = !*seen;
    return;
  }
  const std::shared_ptr<const void> ran = statement;
  if (std::ranges::find(state.unjudged, ran) != state.unjudged.end()) return;
  state.unclear = state.unjudged.size() >= most_unjudged;
  state.unjudged.push_back(ran);
}

/// It is executed. Null: it isn't known.
void Relay::note_for_cache(const StatementPtr& statement) {
  if (!scope_.has_cache()) return;
  const auto& scope = *scope_.of(session_.settings.current());
  const bool steps = statement && !statement->transaction_tag.empty();
  if (!doubt_ && !steps) doubt_ = !(scope_.wanted() || hinted_) || !pipeline_.only_reads(scope, statement);
  if (!session_.moves && (!statement || change_of(*statement).names || pins(*statement))) names_are_unclear_ = true;
  judge_for_server(scope, statement);
  const bool clear = !names_are_unclear_ && !server().unclear && attached_epoch_ == pipeline_.cache()->epoch() &&
                     !session_.settings.changes_of_meaning().any() && !session_.pin.is_set();
  pipeline_.add_changes(changes_, scope, statement, clear);
}

}  // namespace millrace::gateway
