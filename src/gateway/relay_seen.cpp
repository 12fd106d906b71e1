// What of the relay finds out what a session is, after something ran in it that can't be seen through: a function, a
// trigger, a DO block may have set something, or made a table that hides another. Where a client keeps its server
// connection that would be so until it ends. So the server is asked what the session is (`session_sql`) while nothing
// of that kind has run, and once more before the next read after it. If it is the same, nothing was left behind.
#include "gateway/relay.hpp"
#include "gateway/seen_session.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;

bool same(const std::shared_ptr<const backend::Settings>& a, const std::shared_ptr<const backend::Settings>& b) {
  return a == b || (a && b && *a == *b);
}

bool sets_something(const sql::Statement& statement) {
  using What = sql::SessionChange::What;
  return std::ranges::any_of(statement.changes, [](const sql::SessionChange& change) {
    return change.what == What::set || change.what == What::reset || change.what == What::reset_all ||
           change.what == What::discard_all;
  });
}

/// By name: a function or view of the user's own that shows them isn't looked into.
bool shows_prepared_statements(const sql::Statement& statement) {
  const auto is_of_them = [](const sql::Name& name) { return name.name.starts_with("pg_prepared_statement"); };
  const auto& names = statement.references;
  return names && (std::ranges::any_of(names->reads, is_of_them) || std::ranges::any_of(names->functions, is_of_them));
}

}  // namespace

/// Whether the server may be asked now. It is a statement of its own, in no transaction of the client's.
bool Relay::may_ask_for_session() const {
  return session_.stays && session_.moves && writer_.attached() && replies_.status == 'I' &&
         replies_.nothing_under_way() && !replies_.skipping && !replies_.copy_in && !reader_.mid_message();
}

/// Before a message is sent: a client that looks for its prepared statements doesn't find what Millrace asks with.
void Relay::hide_own_question(const Item& item) {
  if (!writer_.can_ask_for_session() || (item.type != frontend::query && item.type != frontend::bind)) return;
  StatementPtr statement;
  text_asked(item, statement);
  if (statement && shows_prepared_statements(*statement)) writer_.close_session_question();
}

/// Before a message is sent: what the session is, unless that is known.
void Relay::note_session(const Item& item) {
  if (!scope_.has_cache() || !may_ask_for_session()) return;
  auto& seen = server().seen;
  if (seen.is_lost || (seen.asked && same(seen.under, session_.settings.current()))) return;
  if (item.type != frontend::query && item.type != frontend::parse && item.type != frontend::bind) return;
  if (understood_ && sets_something(*understood_)) return;  // so that it would have to be asked again
  if (!server_is_clear() || scope_of_session() == nullptr || !wants_to_know_session()) return;
  seen = {.asked = true, .answer = "", .under = session_.settings.current()};
  writer_.ask_for_session();
}

/// Whether what was left on the server connection can be told by asking.
bool Relay::can_see_session(const pipeline::Scope* scope) {
  if (!may_ask_for_session()) return false;
  const auto& state = server();
  const auto& seen = state.seen;
  return (state.unclear || !state.unjudged.empty()) && !seen.is_lost && !seen.answer.empty() &&
         same(seen.under, session_.settings.current()) && attached_epoch_ == scope_.epoch() &&
         hindrance(scope, true) == Hindrance::server_state;
}

bool Relay::wants_to_know_session() const { return scope_.wanted() || hinted_ || scope_.rewrites(); }

/// Before a read that is wanted from memory, or to be kept, or may be rewritten. True: it waits for the answer.
bool Relay::asks_for_session(const Item& item) {
  if (!scope_.has_cache() || !wants_to_know_session() || !writer_.attached()) return false;
  if (!can_see_session(scope_of_session())) return false;
  StatementPtr statement;
  const std::string_view text = text_asked(item, statement);
  if (stop_ == Next::parse) return true;
  if (!statement) return false;
  // A Query's BEGIN is held back, and what follows it may ask.
  const bool begins = item.type != frontend::query && !statement->steps.empty() &&
                      statement->steps.front() == sql::TransactionStep::begin;
  const bool reads = pipeline::may_only_read(*statement) && (level_of(text) || scope_.rewrites());
  if (!begins && !reads) return false;
  writer_.begin_message(now_);
  writer_.ask_for_session();
  replies_.awaited = true;
  stop_ = Next::answer;
  return true;
}

void Relay::hear_session(Bytes data_row) {
  auto& state = server();
  const auto answer = guard_answer(data_row);
  if (state.seen.answer.empty()) {
    state.seen.answer = answer;
    state.seen.is_lost = may_have_temporary_objects(answer);
  } else if (state.seen.answer == answer && !may_have_temporary_objects(answer)) {
    state.unclear = state.ran_unseen = false;
    state.unjudged.clear();
  } else {
    state.seen.is_lost = true;
  }
}

}  // namespace millrace::gateway
