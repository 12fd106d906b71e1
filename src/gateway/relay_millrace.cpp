// What of the relay answers EXPLAIN (MILLRACE) and SHOW millrace.token.
#include "gateway/millrace_batch.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pipeline/question_key.hpp"
#include "sql/comments.hpp"
#include "sql/explained_text.hpp"

namespace millrace::gateway {
namespace {

using pgwire::Bytes;
using Question = pipeline::Question;

/// A batch that is longer than its text and this isn't waited for.
constexpr std::size_t most_beside_text = 32 * 1024;

}  // namespace

/// Of a statement that the client would have executed now. Nothing is under way.
pipeline::Explanation Relay::explain(const Question& question, const sql::Statement& statement) {
  const std::string_view text = pipeline::text_of(question);
  if (!scope_.has_cache()) {
    return pipeline::explain_without_cache(options_.database, options_.user, text, statement);
  }
  const auto hints = sql::hints_of(text);
  const auto level = level_of(text);
  const pipeline::Scope* const scope = scope_of_session();
  const Hindrance found = hindrance(scope, level.has_value());
  std::optional<pipeline::Refusal> session;
  const bool may_be_seen = found == Hindrance::server_state && can_see_session(scope);  // as a read would have it
  if (found != Hindrance::none && !may_be_seen) session = refusal_of(found, scope, session_.pin.why());
  if (found == Hindrance::not_wanted && !hints.cache) {
    session = pipeline::Refusal{"cache_off", "a comment in it says cache=off"};
  } else if (found == Hindrance::not_wanted && !hints.consistency.empty()) {
    session = pipeline::Refusal{"consistency", "a comment in it asks for the level " + hints.consistency};
  } else if (found == Hindrance::not_wanted && scope_.wanted() && !hints.after.empty()) {
    session = pipeline::Refusal{
        "no_stream", "changes of the database aren't followed at present, as the token in its comment needs"};
  }
  const pipeline::Scope& known = *scope_.of(session_.settings.current());
  auto said = pipeline::explain(*pipeline_.cache(), known, question, statement, std::move(session), level, now_);
  if (const auto* rewrites = pipeline_.rewrites()) said.rewrite = rewrites->report(known, question);
  return said;
}

/// What is under way decides whether there is a transaction, and what is in it, so it is to be answered first. What the
/// server would refuse whatever it is, and what comes among messages that it hasn't been told the end of, is for the
/// server, which doesn't know them.
Relay::Decided Relay::answer_millrace_query(pipeline::Exchange exchange, std::string_view text) {
  if (replies_.copy_in || replies_.unsynced) return Decided::send;
  if (!replies_.empty()) {
    settle();
    return Decided::wait;
  }
  if (replies_.status == 'E') return Decided::send;
  const Question question{.kind = Question::Kind::query, .text = sql::explained_text(text), .parameters = {}};
  const auto& statement = *exchange.statement;
  const auto rows =
      statement.shows_token ? token_rows(now_) : rows_of(explain(question, *statement.explained), question);
  session_.names.unnamed.reset();
  session_.names.unnamed_portal = {};
  portal_is_here_ = true;
  const std::size_t before = answers_.size();
  append_columns(answers_, statement, {0, 0});
  append_rows(answers_, statement, rows);
  pgwire::append_command_complete(answers_, tag_of(statement));
  pgwire::append_ready_for_query(answers_, status_here());
  exchange.rows = rows.size();
  exchange.bytes_out = answers_.size() - before;
  ended(exchange);
  return Decided::answered;
}

/// What the server has said is of SHOW millrace.token, of which it was asked something else. The token is of the moment
/// at which the server's answer is there, and so covers all that came before it.
void Relay::give_token(const sql::Statement& statement, char type, Bytes body) {
  if (type == pgwire::backend::data_row) append_rows(instead_, statement, token_rows(now_));
  if (type == pgwire::backend::row_description && !body.empty()) {
    const auto format = static_cast<std::int16_t>(body.back());  // of its only column; it is one of 0 and 1
    append_columns(instead_, statement, {format, format});
  }
}

/// So many bytes of the batch that the item begins; 0: it isn't one for Millrace, or waits: for answers, or
/// for its end.
std::size_t Relay::answer_millrace_batch(const Item& item, Bytes rest) {
  if (replies_.skipping || replies_.copy_in || replies_.unsynced || replies_.status == 'E') return 0;
  if (!MillraceBatch::may_begin_with(item, pipeline_, session_)) return 0;
  if (!replies_.empty()) {
    settle();
    return 0;
  }
  const auto known_parameters = [this](std::string_view query_and_types) {
    if (!scope_.has_cache()) return std::string();
    const auto& scope = *scope_.of(session_.settings.current());
    std::string key, plain;
    pipeline::write_key(scope, {.kind = Question::Kind::columns, .text = query_and_types, .parameters = {}}, key,
                        plain);
    auto& l1 = pipeline_.cache()->l1();
    const auto entry = l1.peek(key, cache::hash_of(key));
    return entry && l1.is_live(*entry, now_) ? std::string(entry->head()) : std::string();
  };
  MillraceBatch batch(pipeline_, session_, writer_,
                      {.status = status_here(),
                       .now = now_,
                       .explain = [this](const Question& question,
                                         const sql::Statement& statement) { return explain(question, statement); },
                       .parameters = known_parameters});
  const std::size_t used = batch.answer(rest, answers_);
  awaits_batch_ = batch.lacks_its_end() && rest.size() < pipeline_.limits().max_bytes + most_beside_text;
  if (used > 0) note_answered(batch);
  return used;
}

}  // namespace millrace::gateway
