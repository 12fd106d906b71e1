// What of the relay hears of the client's prepared statements and portals: Parse, Bind, Describe, Execute, Close.
#include "gateway/header.hpp"
#include "gateway/millrace_answer.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using Kind = Reply::Kind;
using Columns = ServerWriter::Columns;

/// Names of statements and portals longer than this are passed on without being understood.
constexpr std::size_t max_names = 64 * 1024;

/// Of parameters, so much is kept for a record.
constexpr std::size_t most_parameters = 2048;

}  // namespace

bool Relay::on_parse(const Item& item) {
  if (item.total - 1 > pipeline_.limits().max_bytes) return on_long_parse(item);
  if (!item.whole()) return false;
  const auto parse = pgwire::decode_parse(item.body());
  if (!parse) {  // the server says so
    replies_.owe(Kind::parse, now_);
    replies_.unsynced = true;
    return true;
  }
  const StatementPtr statement = understand(parse->query);
  if (!statement) return false;
  for (std::size_t at = 0; at < parse->type_oids.size(); ++at) {
    // A domain's checks may call anything.
    if (parse->type_oids[at] >= catalog::first_normal_oid) names_are_unclear_ = true;
  }
  const bool named = !parse->name.empty();
  std::string_view query_and_types = pgwire::as_text(item.body().subspan(parse->name.size() + 1));
  std::string asked;
  if (statement->shows_token) query_and_types = asked = parse_asked_of_server(query_and_types);
  if (named && session_.names.is_statement_under_way(parse->name)) return settle();
  server().used = true;
  if (session_.moves && named && session_.names.is_taken(parse->name)) {
    writer_.refuse_name(parse->name, query_and_types, statement, pipeline_.sent(parse->query, *statement));
    replies_.unsynced = true;
    return true;
  }
  if (!writer_.has_names(*statement)) return settle();
  writer_.discard_sequences(*statement, true);
  ServerWriter::Anew anew;
  const auto meant = meant_by_names(statement).number;
  if (session_.moves) {
    anew.text = writer_.text_of_parse(query_and_types, statement, named);
    if (named && writer_.is_text_under_way(*anew.text)) return settle();
    writer_.close_unneeded();
    if (named) anew = writer_.prepare_anew(std::move(anew.text), query_and_types, statement, meant);
  }
  if (statement->shows_token && !writer_.replaced) writer_.parse_instead(parse->name, query_and_types);
  Reply& reply = replies_.owe(Kind::parse, now_);
  auto sent = shared_with(anew.text, pipeline_.sent(parse->query, *statement));
  session_.names.parse(parse->name, {.statement = statement, .text = anew.text, .sent = sent}, reply);
  if (!named) writer_.unnamed_becomes(anew.text ? anew.text->number : 0, reply, meant);
  reply.exchange.statement = statement;
  reply.exchange.sent = std::move(sent);
  reply.text = anew.text;
  if (anew.describes) {
    Reply& describe = replies_.owe(Kind::describe, now_);
    describe.shown = Reply::Shown::errors;
    describe.name = parse->name;
    describe.text = std::move(anew.text);
    describe.twin = std::move(anew.twin);
  }
  replies_.unsynced = true;
  return true;
}

/// Its text isn't kept, so it can't be prepared on another server connection.
bool Relay::on_long_parse(const Item& item) {
  const auto name = pgwire::leading_string(item.body());
  if (!name && item.message.size() < std::min(item.total, max_names)) return false;
  if (name && !name->empty() && session_.names.is_statement_under_way(*name)) return settle();
  pin_unseen("statement longer than MAX_PARSED_STATEMENT_KB");
  server().used = server().holder_wrote = true;
  if (name && !name->empty()) {
    const Prepared* const taken = session_.names.find(*name);
    if (taken != nullptr && taken->text) writer_.hold_name(*name);  // so that the server refuses it
  }
  Reply& reply = replies_.owe(Kind::parse, now_);
  replies_.unsynced = true;
  if (!name) return true;
  session_.names.parse(*name, {too_long(), nullptr}, reply);
  if (name->empty()) writer_.unnamed_becomes(0, reply);
  return true;
}

/// Before a Bind or Describe of the client's statement of this name: the server connection is to have it. `prepared`:
/// null: the client has none. Null: something must be answered before.
std::optional<Columns> Relay::have_on_server(std::string_view name, Prepared* prepared) {
  const auto wait = [this] {
    settle();
    return std::nullopt;
  };
  if (name.empty()) {
    if (prepared != nullptr && !writer_.has_names(*prepared->statement)) return wait();
    writer_.ensure_unnamed_on_server(prepared != nullptr ? meant_by_names(prepared->statement).number : 0);
    return Columns::same;
  }
  if (prepared == nullptr || !prepared->text) return Columns::same;
  writer_.follow_names(*prepared);
  if (!writer_.has_names(*prepared->statement) || writer_.is_text_under_way(*prepared->text)) return wait();
  writer_.ensure_on_server(prepared->text, meant_by_names(prepared->statement));
  const Columns compared = writer_.compare_columns(*prepared);
  if (compared != Columns::asked) return compared;
  stop_ = Next::answer;
  return std::nullopt;
}

bool Relay::on_bind(const Item& item) {
  const auto names = pgwire::bind_names(item.body());
  if (!names && item.message.size() < std::min(item.total, max_names)) return false;
  replies_.unsynced = true;
  if (!names) {
    if (session_.moves && !item.whole()) {
      return break_off("names of more than 64 kB are not supported in transaction mode", "54000");
    }
    replies_.owe(Kind::bind, now_);
    return true;
  }
  if (session_.names.is_statement_under_way(names->statement) ||
      (!names->portal.empty() && session_.names.is_portal_under_way(names->portal))) {
    return settle();
  }
  writer_.close_unneeded();
  Prepared* const prepared = session_.names.find(names->statement);
  if (prepared == nullptr && (!session_.moves || session_.names.in_sql.contains(names->statement)))
    binds_unseen_ = true;
  const auto compared = have_on_server(names->statement, prepared);
  if (!compared) return false;
  const bool is_usual = prepared != nullptr && prepared->text && prepared->text->shared && *compared == Columns::same &&
                        prepared->text->meaning == session_.settings.meaning();
  auto rewriting = Rewriting::none;
  if (is_usual && names->portal.empty() && item.whole()) {
    rewriting = rewrite({.kind = pipeline::Question::Kind::execute,
                         .text = prepared->text->query_and_types,
                         .parameters = pgwire::as_text(item.body().subspan(names->length()))},
                        prepared->statement, names->statement);
    if (rewriting == Rewriting::waits) return false;
  }
  if (rewriting == Rewriting::holds) {
    bind_guarded(*prepared, item.body().subspan(names->length()));
    return true;
  }
  if (!names->statement.empty() && prepared != nullptr && prepared->text) {
    const std::string_view name = writer_.name_of(*prepared, *compared);
    append_header(writer_.before, frontend::bind, item.total - 1 - names->statement.size() + name.size());
    writer_.before.append(names->portal).append(1, '\0').append(name).append(1, '\0');
    writer_.before.append(pgwire::as_text(item.body().subspan(names->length())));
    writer_.replaced = true;
  }
  Reply& reply = replies_.owe(Kind::bind, now_);
  if (compared == Columns::differ) reply.refusal = Reply::Refusal::columns_differ;
  StatementPtr statement = prepared != nullptr ? prepared->statement : nullptr;
  // Its values may be checked by anything.
  if (!statement || !pipeline::may_only_read(*statement)) unanswered_.forbid();
  reply.exchange.statement = statement;
  if (prepared != nullptr) reply.exchange.sent = prepared->sent;
  if (prepared != nullptr && prepared->text && compared == Columns::same) {
    reply.text = prepared->text;
    reply.name = names->statement;
  }
  if (names->portal.empty()) {
    note_bound(prepared, item.whole() ? statement : nullptr, reply.text, !names->statement.empty(),
               item.body().subspan(names->length()));
    bound_text_ = is_usual ? prepared->text : nullptr;
    portal_is_here_ = false;
  }
  session_.names.bind(names->portal, {std::move(statement), prepared != nullptr ? prepared->sent : nullptr}, reply);
  return true;
}

/// What the rewrite stands on holds: it is bound instead, to the unnamed portal.
void Relay::bind_guarded(const Prepared& prepared, Bytes parameters) {
  // Outside of a transaction the server has said so before it was asked.
  if (!guarded_.in_transaction) pgwire::append_bind_complete(answers_);
  bind_rewritten(prepared.statement, pgwire::as_text(parameters), Reply::Shown::all);
  writer_.replaced = true;
  bound_ = std::move(guarded_.exchange.fill);
  bound_use_ = guarded_.exchange.cache;
  bound_rewrite_ = guarded_.rewrite;
  bound_since_ = guarded_.since;
  bound_text_.reset();
  if (bound_) bound_->columns = prepared.columns;
  note_bound_for_record(parameters);
  if (wishes_) bound_limit_ = limit_of(text_of_prepared(&prepared), prepared.statement);
}

/// To the unnamed portal: what its Execute is to know. `statement`: null: not known, or its parameters aren't all here.
/// `text`: null: its answers aren't to be kept.
void Relay::note_bound(const Prepared* prepared, const StatementPtr& statement, const Text& text, bool named,
                       Bytes parameters) {
  pipeline::Exchange bound;
  if (text && text->shared && text->meaning == session_.settings.meaning()) {
    begin_fill(bound,
               {.kind = pipeline::Question::Kind::execute,
                .text = text->query_and_types,
                .parameters = statement ? pgwire::as_text(parameters) : ""},
               statement, writer_.meant_on_server(*text, named));
  }
  bound_ = std::move(bound.fill);
  bound_use_ = bound.cache;
  bound_rewrite_.reset();
  note_bound_for_record(parameters);
  if (bound_) bound_->columns = prepared->columns;
  if (wishes_) bound_limit_ = limit_of(text_of_prepared(prepared), prepared != nullptr ? prepared->statement : nullptr);
}

void Relay::note_bound_for_record(Bytes parameters) {
  if (pipeline_.records()) bound_parameters_ = pgwire::as_text(parameters).substr(0, most_parameters);
}

bool Relay::on_describe(const Item& item) {
  replies_.unsynced = true;
  const auto target = pgwire::decode_describe(item.body());
  Text text;
  std::optional<Columns> compared;
  StatementPtr statement;
  if (target && target->what == 'P') statement = session_.names.find_portal(target->name).statement;
  if (target && target->what == 'S') {
    if (session_.names.is_statement_under_way(target->name)) return settle();
    Prepared* const prepared = session_.names.find(target->name);
    if (prepared != nullptr) statement = prepared->statement;
    compared = have_on_server(target->name, prepared);
    if (!compared) return false;
    if (!target->name.empty() && prepared != nullptr && prepared->text) {
      pgwire::append_describe(writer_.before, 'S', writer_.name_of(*prepared, *compared));
      writer_.replaced = true;
      if (compared == Columns::same) text = prepared->text;
    }
  }
  if (target && target->what == 'P' && target->name.empty()) forget_servers_portal();
  Reply& reply = replies_.owe(Kind::describe, now_);
  if (compared == Columns::differ) reply.refusal = Reply::Refusal::columns_differ;
  const bool shows_token = statement && statement->shows_token;
  if (shows_token) reply.exchange.statement = std::move(statement);
  if (text) {
    reply.name = target->name;
    reply.text = std::move(text);
    if (!shows_token && reply.text->shared && reply.text->meaning == session_.settings.meaning())
      begin_fill(reply.exchange,
                 {.kind = pipeline::Question::Kind::columns, .text = reply.text->query_and_types, .parameters = {}},
                 reply.text->statement, writer_.meant_on_server(*reply.text, true));
  }
  if (target && target->what == 'P' && target->name.empty()) reply.exchange.fill = bound_;
  return true;
}

bool Relay::on_execute(const Item& item) {
  replies_.unsynced = true;
  BoundPortal portal;
  const StatementPtr& statement = portal.statement;
  std::shared_ptr<pipeline::Fill> fill;
  auto use = CacheUse::none;
  bool statement_of_unnamed = false, is_whole = false;
  if (const auto execute = pgwire::decode_execute(item.body())) {
    if (session_.names.is_portal_under_way(execute->portal)) return settle();
    portal = session_.names.find_portal(execute->portal);
    if (statement && !are_unused(statement)) return false;
    statement_of_unnamed = execute->portal.empty();
    is_whole = execute->max_rows <= 0;
    if (statement_of_unnamed) {
      fill = std::exchange(bound_, nullptr);
      use = std::exchange(bound_use_, CacheUse::none);
    }
    if (fill) {
      fill->first_rows = static_cast<std::uint32_t>(std::max(execute->max_rows, 0));
      pipeline_.lead_flight(*fill);
    }
  }
  server().used = true;
  if (statement_of_unnamed) forget_servers_portal();
  if (statement) {
    if (writer_.depends_on_names(*statement) && !replies_.empty() && !replies_.copy_in) return settle();
    writer_.name_on_server(*statement);
    writer_.keep_meanings(*statement);
    note(*statement);
  }
  Reply& reply = replies_.owe(Kind::execute, now_);
  reply.exchange.statement = statement;
  set_limit(reply, statement_of_unnamed ? bound_limit_ : limit_of(pipeline::text_of(portal.sent), statement));
  hold_unused(reply);
  reply.exchange.cache = use;
  reply.exchange.fill = std::move(fill);
  if (statement_of_unnamed && is_whole) reply.executed = std::exchange(bound_text_, nullptr);
  if (statement_of_unnamed && bound_rewrite_) {
    reply.exchange.rewrite = bound_rewrite_;
    if (bound_since_ != 0) reply.exchange.started = std::exchange(bound_since_, 0);
  }
  reply.exchange.sent = std::move(portal.sent);
  if (statement_of_unnamed && pipeline_.records()) reply.parameters = bound_parameters_;
  if (statement || binds_unseen_) {
    note_for_cache(statement);
  } else {
    doubt_ = true;  // there is no such portal, or it is a cursor, whose query was seen when it was declared
    unanswered_.forbid();
  }
  if (!statement) return true;
  session_.names.run(*statement, reply);
  writer_.set_start_again(*statement, true);
  return true;
}

/// A statement that is shared stays on the server, which answers all the same that it is closed.
bool Relay::on_close(const Item& item) {
  replies_.unsynced = true;
  const auto target = pgwire::decode_close(item.body());
  const bool of_statement = target && target->what == 'S';
  if (target && (of_statement ? session_.names.is_statement_under_way(target->name)
                              : session_.names.is_portal_under_way(target->name))) {
    return settle();
  }
  Reply& reply = replies_.owe(Kind::close, now_);
  if (of_statement) {
    session_.names.close_statement(target->name, reply);
    if (target->name.empty()) writer_.unnamed_becomes(0, reply);
  } else if (target && target->what == 'P') {
    session_.names.close_portal(target->name, reply);
  }
  return true;
}

}  // namespace millrace::gateway
