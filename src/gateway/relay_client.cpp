// The half of the relay that hears the client.
#include "gateway/header.hpp"
#include "gateway/millrace_answer.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"
#include "pipeline/tidying.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;
using Kind = Reply::Kind;

/// "": it isn't all there, or malformed.
std::string_view text_of(const ClientReader::Item& query) {
  return query.whole() ? pgwire::decode_query(query.body()).value_or("") : "";
}

/// Once so many bytes are to go to the client, it is first to take them.
constexpr std::size_t most_answers = 64 * 1024;

/// Of what DISCARD ALL undoes all but this: code that is loaded, names of custom settings, the schema of temporary
/// tables (whoever has it can't prepare a two-phase transaction that looks for names there).
bool leaves_traces(std::string_view pin) {
  return pin == "loaded library" || pin == "do block" || pin == "procedure" || pin.starts_with("temporary ");
}

}  // namespace

Relay::FromClient Relay::from_client(Bytes in, std::int64_t now) {
  now_ = now;
  stop_ = Next::more;
  to_server_.begin(in);
  answers_.clear();
  told_ = 0;
  stopped_short_ = false;
  std::size_t at = 0;
  for (Item item; stop_ == Next::more;) {
    const Bytes rest = in.subspan(at);
    const auto found = reader_.read(rest, item);
    if (found == ClientReader::Found::passing) {
      if (drops_rest_) to_server_.leave_out(at, at + item.message.size());
      drops_rest_ = drops_rest_ && reader_.mid_message();
      at += item.message.size();
      continue;
    }
    if (found == ClientReader::Found::terminate) stop_ = Next::terminate;
    if (found == ClientReader::Found::broken) break_off(reader_.error());
    if (found != ClientReader::Found::item) break;
    if (refusal_) {
      answer_refused(item);
      to_server_.leave_out(at, at + item.message.size());
      at += item.message.size();
      reader_.take(item);
      drops_rest_ = reader_.mid_message();
      on_way();
      continue;
    }
    std::size_t answered = failed_here_ ? 0 : answer_batch(item, rest);
    if (answered == 0 && stop_ == Next::more && !awaits_batch_) answered = answer_without_server(item, rest);
    if (answered > 0) {
      to_server_.leave_out(at, at + answered);
      at += answered;
      reader_.answered();
      on_way();
      waited_ns_ = 0;  // as whatever comes next hasn't
      if (answers_.size() >= most_answers) stopped_short_ = at < in.size();
      if (stopped_short_) break;
      continue;
    }
    if (stop_ != Next::more || std::exchange(awaits_batch_, false)) break;
    const auto decided = failed_here_ ? answer_failed(item) : decide(item);
    if (decided == Decided::wait) break;
    if (refusal_) continue;
    if (decided == Decided::answered) {
      to_server_.leave_out(at, at + item.message.size());
      at += item.message.size();
      reader_.take(item);
      drops_rest_ = reader_.mid_message();
      on_way();
      waited_ns_ = 0;
      if (answers_.size() >= most_answers) stopped_short_ = at < in.size();
      if (stopped_short_) break;
      continue;
    }
    if (waits_elsewhere()) break;
    if (!writer_.attached()) {
      want_server(rest, item);
      if (refusal_) continue;
      break;
    }
    if (asks_for_session(item)) {
      if (stop_ == Next::answer) to_server_.put(at, writer_.before);
      break;
    }
    if (!has_turn(rest, item)) {
      if (refusal_) continue;
      break;
    }
    writer_.begin_message(now_);
    begin_unanswered(at);
    if (session_.stays) {
      hide_own_question(item);
      note_session(item);
    }
    const bool taken = take(item);
    to_server_.put(at, writer_.before);
    if (!taken) break;
    if (writer_.replaced) to_server_.leave_out(at, at + item.message.size());
    at += item.message.size();
    to_server_.put(at, writer_.behind);
    unanswered_.add(item.message, item.whole());
    reader_.take(item);
    on_way();
  }
  heard_ += at;
  unanswered_.used(at);
  if (answers_.size() > told_) unanswered_.forbid();
  if (is_lent_ && at > 0 && !replies_.empty()) go_on_with_lent_turn();
  if (stop_ != Next::need_server && rests()) end_turn();
  return {at, to_server_.out(at), std::as_bytes(std::span(answers_)), stop_};
}

/// The message at hand is answered, or sent.
void Relay::on_way() {
  understood_.reset();
  elsewhere_ = {};
  unused_ = {};
  asked_at_ = 0;
  had_turn_ = is_charged_ = false;
  no_server_.reset();
  if (guarded_.looked) guarded_ = {};
}

/// What is to become of a Query, whether there is a server connection or not; all else is sent.
Relay::Decided Relay::decide(const Item& item) {
  if (needs_no_server(item)) return Decided::answered;
  if (item.type != frontend::query || replies_.skipping) return Decided::send;
  pipeline::Exchange exchange{.statement = statement_of(item),
                              .started = now_,
                              .waited = elsewhere_.waited(now_),
                              .first_byte = now_,
                              .bytes_in = item.total};
  if (stop_ == Next::parse) return Decided::wait;
  using What = pipeline::Verdict::What;
  const std::string_view text = text_of(item);
  exchange.text = text;
  if (exchange.statement && exchange.statement->asks_millrace())
    return answer_millrace_query(std::move(exchange), text);
  const auto level = level_of(text);
  const pipeline::Scope* const scope = scope_for_answers(level.has_value());
  const pipeline::SessionView view{
      .holds_begin = session_.stays ? replies_.status == 'I' && (scope != nullptr || may_answer_later(exchange, level))
                                    : !writer_.attached(),
      .begin_held = !session_.held_begin.empty(),
      .untouched = is_untouched(),
      .scope = scope,
      .level = level ? level->level : pipeline::Consistency::Level::session,
      .needed = scope == nullptr ? pipeline::Needed() : needed(*level, *scope, seen_)};
  const auto verdict = pipeline_.decide(exchange, text, view);
  if (verdict.what == What::send) {
    const bool waits = scope != nullptr && waits_for_proof(*scope, verdict.unproved);
    if (!waits && !verdict.passes && scope != nullptr && exchange.statement &&
        pipeline::may_only_read(*exchange.statement))
      look_for_flight(*scope, {.kind = pipeline::Question::Kind::query, .text = text, .parameters = {}});
    return Decided::send;
  }
  if (verdict.what == What::answer) {
    exchange.payoff = verdict.payoff;
    answer_query(std::move(exchange), *verdict.entry);
  } else {
    answer_transaction(std::move(exchange));
  }
  return Decided::answered;
}

/// A BEGIN: reads that follow it may be answered from memory, once it is seen what was left on the server connection.
bool Relay::may_answer_later(const pipeline::Exchange& exchange, const std::optional<Consistency>& level) {
  return level && exchange.statement && !exchange.statement->transaction_tag.empty() && scope_.has_cache() &&
         can_see_session(scope_of_session());
}

void Relay::answer_transaction(pipeline::Exchange exchange) {
  const bool begins = session_.held_begin.empty();
  const std::string& tag = exchange.statement->transaction_tag;
  session_.held_begin = begins ? exchange.statement->begin_text() : "";
  session_.read_in_held_begin = false;
  if (!begins) session_.names.portals.clear();
  session_.names.unnamed.reset();
  session_.names.unnamed_portal = {};
  const std::size_t before = answers_.size();
  pgwire::append_command_complete(answers_, tag);
  pgwire::append_ready_for_query(answers_, begins ? 'T' : 'I');
  exchange.bytes_out = answers_.size() - before;
  ended(exchange);
}

void Relay::want_server(Bytes rest, const Item& item) {
  switch (reader_.needs_server(rest)) {
    case ClientReader::Needs::nothing:
      return;
    case ClientReader::Needs::goodbye:
      stop_ = Next::terminate;
      return;
    case ClientReader::Needs::server:
      if (is_out_of_reach(item) || !has_turn(rest, item)) return;
      stop_ = Next::need_server;
      if (item.type == frontend::query && understood_) session_.settings.expect_placeholders(*understood_);
      return;
  }
}

/// What the writer is to send before it, behind it, and instead of it. False: it isn't taken now, `stop_` says why.
bool Relay::take(const Item& item) {
  if (!session_.held_begin.empty()) writer_.send_begin(std::exchange(failed_here_, false));
  if (writer_.begin_under_way()) {
    stop_ = Next::answer;
    return false;
  }
  if (follows_a_limited_one(item.type)) return settle();
  if (bool taken = false; recover_guarded(item, taken)) return taken;
  if (!replies_.skipping && !on_item(item)) return false;
  if (item.type == frontend::sync) on_sync();
  if (replies_.empty()) return true;
  if (item.type == frontend::flush) replies_.back().flushed = true;
  const auto owed = replies_.all();
  const auto own = [](const Reply& reply) { return reply.own(); };
  if (const auto clients = std::find_if_not(owed.rbegin(), owed.rend(), own); clients != owed.rend()) {
    clients->exchange.bytes_in += item.total;
  }
  if (waited_ns_ > 0) note_wait();
  return true;
}

bool Relay::on_item(const Item& item) {
  switch (item.type) {
    case frontend::query:
      return on_query(item);
    case frontend::parse:
      return on_parse(item);
    case frontend::bind:
      return on_bind(item);
    case frontend::describe:
      return item.whole() && on_describe(item);
    case frontend::execute:
      return item.whole() && on_execute(item);
    case frontend::close:
      return item.whole() && on_close(item);
    case frontend::function_call:
      return on_function_call();
    case frontend::copy_done:
    case frontend::copy_fail:
      on_copy_end();
      return true;
    default:
      return true;
  }
}

void Relay::on_sync() {
  if (replies_.copy_in) {
    server().tainted = true;  // ignored among COPY data; but if COPY has failed meanwhile, it is answered
    return;
  }
  replies_.skipping = replies_.unsynced = false;
  bound_.reset();
  bound_use_ = CacheUse::none;
  bound_text_.reset();
  replies_.owe(Kind::sync, now_);
}

void Relay::on_copy_end() {
  if (replies_.copy_in) {
    replies_.copy_in = false;
  } else if (!replies_.empty()) {
    replies_.owe(Kind::copy_end, now_);
  }
}

/// A function is named by its number only: it may do anything, such as take a lock.
bool Relay::on_function_call() {
  pin_unseen("function call");
  note_for_cache(nullptr);
  server().used = server().holder_wrote = true;
  Reply& reply = replies_.owe(Kind::function_call, now_);
  reply.exchange.assumed = sql::StatementKind::call;
  if (wishes_) reply.limit.asked_for = wishes_of("").asked_for;
  replies_.unsynced = false;
  return true;
}

/// Null: it isn't all there, or must be parsed first.
StatementPtr Relay::statement_of(const Item& query) {
  if (query.total - 1 > pipeline_.limits().max_bytes) return too_long();
  if (!query.whole()) return nullptr;
  const auto text = pgwire::decode_query(query.body());
  return text ? understand(*text) : too_long();
}

/// The text of the message at hand. Null: it must be parsed first.
StatementPtr Relay::understand(std::string_view text) {
  if (!session_.settings.reads_plainly(text)) {
    return sql::unparsed("the session's encoding or standard_conforming_strings may change how the text is read");
  }
  if (!understood_) understood_ = pipeline_.understand(text);
  if (!understood_) {
    to_parse_ = text;
    stop_ = Next::parse;
  }
  return understood_;
}

/// What is under way decides what the message at hand is to be sent as: it waits until that is answered.
bool Relay::settle() {
  stop_ = Next::answer;
  writer_.await_answers();
  return false;
}

bool Relay::on_query(const Item& item) {
  const StatementPtr statement = statement_of(item);
  if (!statement) return false;
  if (writer_.depends_on_names(*statement) && !replies_.empty() && !replies_.copy_in) return settle();
  if (!are_unused(statement)) return false;
  if (!replies_.copy_in && item.whole()) {
    const auto rewriting =
        rewrite({.kind = pipeline::Question::Kind::query, .text = text_of(item), .parameters = {}}, statement, "");
    if (rewriting == Rewriting::waits) return false;
    if (rewriting == Rewriting::holds) {
      execute_guarded_query(statement, text_of(item));
      return true;
    }
  }
  writer_.discard_sequences(*statement, false);
  const bool may_be_skipped = writer_.give_names(*statement);
  if (statement->shows_token) {
    pgwire::append_query(writer_.before, token_asked_of_server);
    writer_.replaced = true;
  }
  const bool may_be_kept = !pipeline::only_tidies(*statement) || is_untouched();
  Reply& reply = replies_.owe(Kind::query, now_);
  reply.exchange.statement = statement;
  if (pipeline_.records() || pipeline_.rewrites() != nullptr)
    reply.asked = text_of(item).substr(0, sql::Statement::most_text);
  set_limit(reply, asked_at_ != 0 ? wanted_limit_ : limit_of(text_of(item), statement));
  hold_unused(reply);
  if (may_be_kept) {
    begin_fill(reply.exchange, {.kind = pipeline::Question::Kind::query, .text = text_of(item), .parameters = {}},
               statement);
  }
  if (reply.exchange.fill) pipeline_.lead_flight(*reply.exchange.fill);
  note(*statement);
  note_for_cache(statement);
  session_.names.query(reply);
  writer_.unnamed_becomes(0, reply);
  session_.names.run(*statement, reply);
  if (may_be_skipped) writer_.stand_in();
  replies_.unsynced = false;
  writer_.set_start_again(*statement, false);
  return true;
}

/// It is executed: what it leaves on the server connection, by its text.
void Relay::note(const sql::Statement& statement) {
  using What = sql::SessionChange::What;
  auto& state = server();
  state.used = true;
  if (wishes_) note_locks(statement);
  if (statement.writes) state.holder_wrote = true;
  if (statement.wants_unused_database) wants_no_idle_sessions_ = true;
  session_.settings.expect_change_of(change_of(statement));
  const auto note_setting = [&](std::string_view name) {
    if (!session_.settings.note_placeholder(name, state)) state.tainted = true;
  };
  for (const auto& change : statement.changes) {
    if (change.what == What::pin) session_.pin.set(change.name);
    if (change.what == What::prepare) session_.pin.set("prepared statement");
    if (change.what == What::pin && leaves_traces(change.name)) state.tainted = true;
    if (change.what == What::set || change.what == What::reset) note_setting(change.name);
  }
  for (const auto& name : statement.other_settings) {
    if (name.empty()) state.tainted = true;  // it may be a placeholder, and nobody knows which
    note_setting(name);
  }
  if (statement.uses_sequence_state) session_.pin.set("currval() or lastval()");
}

/// It was the first statement's that was waited for.
void Relay::note_wait() {
  const auto owed = replies_.all();
  const auto runs = std::ranges::find_if(owed, [](const Reply& reply) { return !reply.hidden() && reply.runs(); });
  if (runs != owed.end()) runs->exchange.waited = std::exchange(waited_ns_, 0);
}

/// What was executed may have done anything: even DISCARD ALL would leave the names of custom settings.
void Relay::pin_unseen(std::string_view why) {
  session_.pin.set(why);
  server().tainted = true;
  may_hold_locks_ = true;
}

bool Relay::break_off(std::string message, std::string sqlstate) {
  error_ = Error{.message = std::move(message), .sqlstate = std::move(sqlstate)};
  stop_ = Next::broken;
  return false;
}

}  // namespace millrace::gateway
