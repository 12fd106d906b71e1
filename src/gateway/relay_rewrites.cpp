// What of the relay sends a statement as it was proved to be quicker, and tells what statements cost.
//
// Its tables are locked first, as reading them does, then the guard asks the catalogs: by then nothing that the proof
// stands on can change before the transaction ends. Only if it is as it was the rewritten statement is executed.
// Outside of a transaction of the client's it is the Bind of that statement which locks them: if it fails, nothing has
// happened. In one an error would be the client's, so they are locked by LOCK, which fails only where the original
// would.
#include "gateway/header.hpp"
#include "gateway/relay.hpp"
#include "gateway/rewrite_guard.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "sql/comments.hpp"

namespace millrace::gateway {
namespace {

using pgwire::Bytes;
using Kind = Reply::Kind;
using pipeline::Question;
using pipeline::Rewrites;

constexpr std::string_view insufficient_privilege = "42501", no_such_statement = "26000";

/// Of what isn't the text's fault, nothing follows for the text.
bool is_the_texts_fault(std::string_view sqlstate) {
  return (sqlstate.starts_with("42") && sqlstate != insufficient_privilege) || sqlstate.starts_with("22") ||
         sqlstate.starts_with("0A");
}

/// The original may not have the error, or in other words: it is sent. All else is told to the client, as it would have
/// come upon the original: that it is cancelled, say, where it waits for the tables.
bool is_the_rewrites(std::string_view sqlstate) {
  return is_the_texts_fault(sqlstate) || sqlstate == insufficient_privilege || sqlstate == no_such_statement;
}

/// Of what is executed.
bool may_be_the_rewrites(std::string_view sqlstate) {
  return is_the_texts_fault(sqlstate) || sqlstate.starts_with("21") || sqlstate.starts_with("38") ||
         sqlstate.starts_with("XX");
}

}  // namespace

/// Null: nothing of this session is rewritten at present.
const pipeline::Scope* Relay::scope_for_rewrites() {
  if (!scope_.has_cache()) return nullptr;
  const pipeline::Scope* const scope = scope_of_session();
  if (scope == nullptr || !scope_.rewrites() || hindrance(scope, true) != Hindrance::none) return nullptr;
  // What isn't right ends the batch, and with it what was opened in it.
  return replies_.status == 'I' && !session_.names.portals.empty() ? nullptr : scope;
}

/// Before a Query, or a Bind of the unnamed portal: whether it is to be sent as something else. `parameters` of a Bind:
/// all that follows the names. `name`: the client's, for the statement.
Relay::Rewriting Relay::rewrite(const Question& question, const StatementPtr& statement, std::string_view name) {
  if (guarded_.looked) return guarded_.holds ? Rewriting::holds : Rewriting::none;
  Rewrites* const rewrites = pipeline_.rewrites();
  if (rewrites == nullptr || !statement || !rewrites->concerns(statement->fingerprint)) return Rewriting::none;
  guarded_.looked = true;
  if (!session_.moves || !pipeline::may_only_read(*statement) || question.text.size() > Rewrites::longest_text)
    return Rewriting::none;
  const pipeline::Scope* const scope = scope_for_rewrites();
  if (scope == nullptr) return Rewriting::none;
  const auto query = question.text.substr(0, question.text.find('\0'));
  if (query.contains("millrace") && !sql::hints_of(query).rewrite) return Rewriting::none;
  if (sql::has_planner_hints(query)) return Rewriting::none;
  const auto catalog = scope->source->current();
  if (!catalog) return Rewriting::none;
  auto [found, wants_sample] = rewrites->find(*scope, question, catalog->version);
  if (wants_sample) give_sample(*rewrites, question);
  if (!found) return Rewriting::none;
  auto proved = std::static_pointer_cast<const PreparedRewrite>(std::move(found));
  if (!writer_.shares_texts() || writer_.is_text_under_way(*proved->text) || writer_.is_text_under_way(*proved->lock))
    return Rewriting::none;

  // What a fill saw, it must have seen before the statement is bound.
  begin_fill(guarded_.exchange, question, statement);
  guarded_.since = now_;
  guarded_.exchange.statement = statement;
  guarded_.exchange.sent = pipeline_.sent(query, *statement);
  guarded_.exchange.started = now_;
  guarded_.rewrite = std::move(proved);
  guarded_.name = name;
  guarded_.in_transaction = guarded_.errors_are_told = replies_.status != 'I';
  const std::size_t sent = replies_.size();
  const Limit limit = limit_of(query, statement);
  if (guarded_.in_transaction) {
    writer_.execute_own(guarded_.rewrite->lock);
  } else {
    const bool is_query = question.kind == Question::Kind::query;
    Reply& bound =
        writer_.bind_unnamed(guarded_.rewrite->text, is_query ? pipeline::no_parameters : question.parameters);
    session_.names.bind("", {statement, guarded_.exchange.sent}, bound);
    portal_is_here_ = false;
  }
  writer_.ask_guard(guarded_.rewrite->guard_parameters);
  for (Reply& reply : replies_.all().subspan(sent)) {
    reply.purpose = Reply::Purpose::guard;
    set_limit(reply, limit);
    if (!guarded_.in_transaction) reply.shown = Reply::Shown::nothing;
  }
  replies_.unsynced = true;
  server().used = true;
  stop_ = Next::answer;
  return Rewriting::waits;
}

void Relay::give_sample(Rewrites& rewrites, const Question& question) {
  pipeline::RewriteAsker asker{.scope = scope_.shared(), .startup = *options_.startup, .settings = {}, .time_zone = {}};
  const auto& settings = session_.settings.current();
  if (settings) {
    for (const auto& change : *settings) asker.settings.push_back(change.text);
  }
  if (const auto& parameters = session_.settings.parameters) {
    const auto zone = std::ranges::find(*parameters, "TimeZone", &backend::ParameterList::value_type::first);
    if (zone != parameters->end()) asker.time_zone = zone->second;
  }
  rewrites.add_sample(question, std::move(asker));
}

void Relay::hear_guard(Bytes data_row) {
  guarded_.holds = guarded_.rewrite && guard_answer(data_row) == guarded_.rewrite->guard;
  if (guarded_.holds || !guarded_.rewrite) return;
  if (Rewrites* const rewrites = pipeline_.rewrites()) rewrites->is_out_of_date(*guarded_.rewrite);
}

/// Before it is known whether that is shown.
void Relay::hear_guards_error(Reply& reply, Bytes error) {
  const auto notice = pgwire::decode_notice(error);
  if (notice && is_the_rewrites(notice->sqlstate()) && notice->severity() == "ERROR") return;
  reply.shown = Reply::Shown::errors;
  guarded_.errors_are_told = true;
}

void Relay::guarded_failed(std::string_view sqlstate) {
  guarded_.failed = true;
  guarded_.holds = false;
  if (sqlstate == no_such_statement && guarded_.rewrite) writer_.forget(*guarded_.rewrite);
  Rewrites* const rewrites = pipeline_.rewrites();
  if (rewrites != nullptr && guarded_.rewrite && is_the_texts_fault(sqlstate))
    rewrites->failed(*guarded_.rewrite, sqlstate);
  if (!guarded_.errors_are_told) return;  // it is sent again
  guarded_.exchange.fail(sqlstate);
  ended(guarded_.exchange);
}

/// The server skips what follows what was sent for the message at hand and has failed. The message is sent as it is,
/// once the server is at the end of that, unless the client was told of the error.
/// True: the message at hand is dealt with, or waits.
bool Relay::recover_guarded(const Item& item, bool& taken) {
  if (!guarded_.failed || !replies_.skipping) return false;
  guarded_.failed = false;
  const bool is_query = item.type == pgwire::frontend::query;
  if (guarded_.errors_are_told && !is_query) return false;
  replies_.skipping = replies_.unsynced = false;
  pgwire::append_sync(writer_.before);
  Reply& sync = replies_.owe(Kind::sync, now_);
  taken = guarded_.errors_are_told;
  if (taken) {
    writer_.replaced = true;
    return true;
  }
  sync.purpose = Reply::Purpose::guard;
  sync.shown = Reply::Shown::nothing;
  replies_.awaited = true;
  stop_ = Next::answer;
  return true;
}

/// Binds the unnamed portal to it, unless that is done: all that it stands on is as it was, and stays so.
void Relay::bind_rewritten(const StatementPtr& statement, std::string_view parameters, Reply::Shown shown) {
  if (!guarded_.in_transaction) return;
  const std::size_t sent = replies_.size();
  Reply& bound = writer_.bind_unnamed(guarded_.rewrite->text, parameters);
  bound.shown = shown;
  bound.text = guarded_.rewrite->text;
  bound.name = guarded_.name;
  session_.names.bind("", {statement, guarded_.exchange.sent}, bound);
  for (Reply& reply : replies_.all().subspan(sent)) {
    reply.exchange.statement = statement;
    reply.exchange.sent = guarded_.exchange.sent;
    reply.exchange.rewrite = guarded_.rewrite;
  }
  portal_is_here_ = false;
}

/// A Query whose rewritten portal may be executed.
void Relay::execute_guarded_query(const StatementPtr& statement, std::string_view text) {
  bind_rewritten(statement, pipeline::no_parameters, Reply::Shown::errors);
  pgwire::append_describe(writer_.before, 'P', "");
  Reply& describe = replies_.owe(Kind::describe, now_);
  describe.exchange.fill = guarded_.exchange.fill;
  pgwire::append_execute(writer_.before, "");
  Reply& reply = replies_.owe(Kind::execute, now_);
  reply.exchange.statement = statement;
  reply.exchange.started = guarded_.since;
  reply.exchange.rewrite = guarded_.rewrite;
  set_limit(reply, limit_of(text, statement));
  reply.exchange.cache = guarded_.exchange.cache;
  reply.exchange.fill = std::move(guarded_.exchange.fill);
  if (reply.exchange.fill) pipeline_.lead_flight(*reply.exchange.fill);
  if (pipeline_.records()) reply.asked = text.substr(0, sql::Statement::most_text);
  note(*statement);
  note_for_cache(statement);
  session_.names.query(reply);
  session_.names.unnamed_portal = {};
  portal_is_here_ = true;  // the server still has it
  pgwire::append_sync(writer_.before);
  replies_.owe(Kind::sync, now_);
  replies_.unsynced = false;
  writer_.replaced = true;
}

/// It has ended: what it cost, for who decides what is worth saying in another way.
void Relay::note_cost(const Reply& reply) {
  Rewrites* const rewrites = pipeline_.rewrites();
  const auto& exchange = reply.exchange;
  const auto took = now_ - exchange.started;
  if (rewrites == nullptr) return;
  if (exchange.failed()) {
    if (exchange.rewrite && may_be_the_rewrites(exchange.error_code()))
      rewrites->failed(*exchange.rewrite, exchange.error_code());
    return;
  }
  if (exchange.rewrite) return rewrites->used(*exchange.rewrite, took);
  if (took < rewrites->limits().least_ns || !exchange.statement || !scope_.has_cache()) return;
  if (!session_.moves || !scope_.rewrites() || !scope_.shared() || !pipeline::may_only_read(*exchange.statement))
    return;
  Question question{.kind = Question::Kind::query, .text = reply.asked, .parameters = {}};
  if (reply.executed)
    question = {.kind = Question::Kind::execute, .text = reply.executed->query_and_types, .parameters = {}};
  if (question.text.empty() || (!reply.executed && question.text.size() >= sql::Statement::most_text)) return;
  rewrites->spent(*scope_.shared(), question, exchange.statement->fingerprint, took);
}

/// Positions are in a text that the client hasn't written; nor does it know that text by its name on the server.
void Relay::as_of_original(Bytes body, std::size_t total) {
  if (!instead_.empty() || total != body.size() + pgwire::header_size) return;
  const std::string_view fields = pgwire::as_text(body);
  std::string kept;
  for (std::size_t at = 0; at < fields.size() && fields[at] != '\0';) {
    const auto end = fields.find('\0', at);
    if (end == std::string_view::npos) return;
    std::string field(fields.substr(at, end + 1 - at));
    if (guarded_.rewrite) {
      const std::string ours = fmt::format("\"{}\"", guarded_.rewrite->text->server_name);
      if (const auto found = field.find(ours); found != std::string::npos)
        field.replace(found, ours.size(), fmt::format("\"{}\"", guarded_.name));
    }
    if (fields[at] != 'P') kept += field;
    at = end + 1;
  }
  kept.append(1, '\0');
  append_header(instead_, pgwire::backend::error_response, 4 + kept.size());
  instead_ += kept;
}

}  // namespace millrace::gateway
