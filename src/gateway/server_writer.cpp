#include "gateway/server_writer.hpp"

#include <boost/unordered/unordered_flat_set.hpp>

#include "gateway/header.hpp"
#include "gateway/rewrite_guard.hpp"
#include "gateway/seen_session.hpp"
#include "gateway/shrink.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using What = sql::SessionChange::What;
using Kind = Reply::Kind;

/// A server connection keeps at most this many statements of ours; the least used goes first.
constexpr std::size_t max_prepared_on_server = 1000;

bool names_statements(const sql::SessionChange& change) {
  return change.what == What::deallocate || change.what == What::execute || change.what == What::prepare;
}

bool keeps_constants(const Prepared& prepared) { return prepared.text && prepared.text->holds_constants; }

}  // namespace

void ServerWriter::attach(backend::ServerState& server, std::uint64_t client) {
  server_ = &server;
  replies_.status = 'I';
  if (std::exchange(server.holder, client) != client) server.holder_wrote = false;
}

void ServerWriter::detach() {
  server_ = nullptr;
  replies_.awaited = false;
}

void ServerWriter::begin_message(std::int64_t now) {
  now_ = now;
  before.clear();
  behind.clear();
  replaced = false;
}

Reply& ServerWriter::owe_hidden(Kind kind) {
  Reply& reply = replies_.owe(kind, now_);
  reply.shown = Reply::Shown::errors;
  return reply;
}

void ServerWriter::await_answers() {
  if (!std::exchange(replies_.awaited, true) && replies_.unsynced) pgwire::append_flush(before);
}

void ServerWriter::send_begin(bool fails) {
  std::string begin = std::exchange(session_.held_begin, {});
  // What must come before the first query, such as SET TRANSACTION, is refused from then on.
  if (std::exchange(session_.read_in_held_begin, false)) begin += "; SELECT";
  if (fails) begin += "; ROLLBACK TO SAVEPOINT \"refused by Millrace\"";
  pgwire::append_query(before, begin);
  Reply& reply = replies_.owe_own(Kind::query, now_, Reply::Purpose::begin);
  if (fails) reply.shown = Reply::Shown::nothing;
  unnamed_becomes(0, reply);
  replies_.awaited = true;
}

bool ServerWriter::begin_under_way() const {
  return !replies_.empty() && replies_.all().back().purpose == Reply::Purpose::begin;
}

// Before a statement is executed.

bool ServerWriter::depends_on_names(const sql::Statement& statement) const {
  if (!session_.moves) return false;
  const bool names = std::ranges::any_of(statement.changes, names_statements);
  if (names || statement.kind == sql::StatementKind::unparsed || !change_of(statement).constants) return names;
  const auto& known = session_.names;
  return (known.unnamed && keeps_constants(*known.unnamed)) ||
         std::ranges::any_of(known.statements, [](const auto& named) { return keeps_constants(named.second); });
}

bool ServerWriter::has_names(const sql::Statement& statement) {
  const auto executes = [](const sql::SessionChange& change) { return change.what == What::execute; };
  if (!session_.moves || std::ranges::none_of(statement.changes, executes)) return true;
  if (!replies_.empty() && !replies_.copy_in) return false;
  name_on_server(statement);
  const auto is_missing = [this, executes](const sql::SessionChange& change) {
    return executes(change) && !session_.names.statements.contains(change.name);
  };
  // What it is read as now, it stays: read again elsewhere, when the statement is there, it would be another.
  if (std::ranges::any_of(statement.changes, is_missing)) session_.pin.set("EXECUTE of a statement that isn't there");
  return true;
}

bool ServerWriter::name_on_server(const sql::Statement& statement) {
  bool named = false;
  if (replies_.status == 'E') return named;           // nothing but the transaction's end is executed
  boost::unordered_flat_set<std::string_view> given;  // to be executed: what comes later in the text finds it too
  for (const auto& change : statement.changes) {
    if (!names_statements(change)) continue;
    const Prepared* const prepared = change.name.empty() ? nullptr : session_.names.find(change.name);
    if (prepared == nullptr || !prepared->text || given.contains(change.name)) continue;
    const Text text = prepared->text;
    const bool executes = change.what == What::execute;
    if (executes) given.insert(change.name);
    Reply& reply = hold_name(change.name, executes ? text->query_and_types : nothing_to_execute);
    if (executes) {
      reply.sql_name = change.name;
      reply.text = text;
      session_.names.touch(change.name, reply);
      session_.pin.set("prepared statement executed in SQL");
    }
    named = true;
  }
  return named;
}

Reply& ServerWriter::hold_name(std::string_view name, std::string_view query_and_types) {
  pgwire::append_close(before, 'S', name);  // an earlier one that failed may have left it
  owe_hidden(Kind::close);
  append_parse_of(name, query_and_types);
  return owe_hidden(Kind::parse);
}

bool ServerWriter::keep_meanings(const sql::Statement& statement) {
  if (replies_.status == 'E' || statement.kind == sql::StatementKind::unparsed || !change_of(statement).constants) {
    return false;
  }
  constexpr std::string_view why = "prepared statement with constants that a setting would change";
  bool any = false;
  if (session_.names.unnamed && keeps_constants(*session_.names.unnamed)) {
    session_.pin.set(why);
    any = server_->unnamed != session_.names.unnamed->text->number;
    ensure_unnamed_on_server();
  }
  for (auto& [name, prepared] : session_.names.statements) {
    if (!keeps_constants(prepared)) continue;
    session_.pin.set(why);
    if (server_->prepared.contains(prepared.text->number)) continue;
    ensure_on_server(prepared.text);
    any = true;
  }
  return any;
}

/// Were a Parse to fail, the server would skip the Query too, up to a Sync. In an open batch a Sync before the Query
/// would commit, so it stands behind. So it does behind an EXECUTE, which fails as its Parse does. But not behind a
/// text of several statements: it may begin a transaction that must not have read anything, and what stands before the
/// EXECUTE is executed.
bool ServerWriter::give_names(const sql::Statement& statement) {
  const std::size_t sent = replies_.size();
  const bool named = name_on_server(statement);
  const bool kept = keep_meanings(statement);
  if (!named && !kept) return false;
  if (replies_.unsynced || (named && statement.statements == 1)) return !statement.copies_in;
  for (Reply& reply : replies_.all().subspan(sent)) reply.shown = Reply::Shown::nothing;
  pgwire::append_sync(before);
  owe_hidden(Kind::sync);
  return false;
}

void ServerWriter::stand_in() {
  pgwire::append_sync(behind);
  replies_.owe_own(Kind::sync, now_, Reply::Purpose::stand_in);
}

/// In an open batch a simple query would commit what came before it, and in a transaction close the unnamed portal.
void ServerWriter::discard_sequences(const sql::Statement& statement, bool in_batch) {
  if (session_.stays || !statement.uses_sequence_state || server_->holder_wrote || replies_.copy_in ||
      replies_.status == 'E') {
    return;
  }
  server_->holder_wrote = true;
  if (in_batch || replies_.unsynced) {
    run_in_batch(before, "DISCARD SEQUENCES", Reply::Purpose::discard_sequences);
    return;
  }
  pgwire::append_query(before, "DISCARD SEQUENCES");
  Reply& reply = replies_.owe_own(Kind::query, now_, Reply::Purpose::discard_sequences);
  reply.shown = Reply::Shown::nothing;  // so will fail what the client sends
  unnamed_becomes(0, reply);
}

void ServerWriter::set_start_again(const sql::Statement& statement, bool in_batch) {
  const std::string sql = session_.settings.start_to_set_again(statement);
  if (sql.empty()) return;
  if (in_batch) {
    run_in_batch(behind, sql, Reply::Purpose::restore_start);
  } else if (!statement.copies_in) {  // which would read it
    pgwire::append_query(behind, sql);
    replies_.owe_own(Kind::query, now_, Reply::Purpose::restore_start).shown = Reply::Shown::nothing;
  }
}

/// A statement of Millrace's own among extended messages. Its error isn't hidden: it undoes what the client did.
void ServerWriter::run_in_batch(std::string& out, std::string_view sql, Reply::Purpose purpose) {
  const std::string& name = texts_.own_name();
  const auto owe = [&](Kind kind) { replies_.owe_own(kind, now_, purpose); };
  pgwire::append_close(out, 'S', name);  // one that failed may have left it
  owe(Kind::close);
  pgwire::append_parse(out, name, sql);
  owe(Kind::parse);
  pgwire::append_bind(out, {.portal = name, .statement = name});
  owe(Kind::bind);
  pgwire::append_execute(out, name);
  owe(Kind::execute);
  pgwire::append_close(out, 'P', name);
  owe(Kind::close);
  pgwire::append_close(out, 'S', name);
  owe(Kind::close);
}

// Statements.

bool ServerWriter::is_text_under_way(const PreparedText& text) const {
  if (replies_.copy_in || replies_.empty()) return false;
  const auto found = server_->prepared.find(text.number);
  if (found != server_->prepared.end()) {
    return found->second.batch != 0 && found->second.batch != replies_.batch();
  }
  return std::ranges::any_of(replies_.all(), [&](const Reply& reply) { return reply.closes == text.number; });
}

Text ServerWriter::text_of_parse(std::string_view query_and_types, const StatementPtr& statement, bool named) {
  auto& settings = session_.settings;
  const auto& changing = settings.changes_of_meaning();
  // Who prepares the same text again and again, as most drivers do without a name, has it at hand.
  if (!named && session_.names.unnamed && !session_.pin.is_set() && !changing.any()) {
    const Text& last = session_.names.unnamed->text;
    if (last && last->shared && last->statement == statement && last->query_and_types == query_and_types &&
        last->meaning == settings.meaning())
      return last;
  }
  const std::string_view query = query_and_types.substr(0, query_and_types.find('\0'));
  const bool constants_unclear = changing.constants && holds_constants(query);
  if (named && constants_unclear) {
    session_.pin.set("statement prepared while settings change how its constants are read");
  }
  if (session_.pin.is_set() || constants_unclear || changing.names || holds_moments(query)) {
    return texts_.make(query_and_types, settings.meaning(), statement, false);
  }
  return texts_.intern(query_and_types, settings.meaning(), statement);
}

/// The client may expect errors and result columns as of now. But what others use stays as it is: only if it turns out
/// the same, the client gets theirs.
ServerWriter::Anew ServerWriter::prepare_anew(Text text, std::string_view query_and_types,
                                              const StatementPtr& statement, std::uint64_t meant) {
  Anew anew{.text = std::move(text), .twin = nullptr};
  const bool others_use_it = anew.text->shared && anew.text.use_count() > 1;
  anew.describes = others_use_it;
  if (server_->prepared.contains(anew.text->number)) {
    if (others_use_it) {
      anew.twin = std::exchange(anew.text, texts_.make(query_and_types, anew.text->meaning, statement, true));
    } else {
      close_text(anew.text->number);
    }
  }
  make_room();
  server_->prepared[anew.text->number] = {
      .used = ++server_->use_count, .columns = 0, .batch = replies_.batch(), .meant = meant};
  append_parse_of(anew.text->server_name, query_and_types);
  if (anew.describes) pgwire::append_describe(before, 'S', anew.text->server_name);
  replaced = true;
  return anew;
}

bool ServerWriter::shares_texts() const {
  return !session_.pin.is_set() && !session_.settings.changes_of_meaning().any();
}

Reply& ServerWriter::bind_unnamed(const Text& text, std::string_view parameters) {
  ensure_on_server(text);
  append_header(before, frontend::bind, 4 + 1 + text->server_name.size() + 1 + parameters.size());
  before.append(1, '\0').append(text->server_name).append(1, '\0').append(parameters);
  return owe_hidden(Kind::bind);
}

void ServerWriter::execute_own(const Text& text, std::span<const std::string> parameters) {
  ensure_on_server(text);
  const std::string& portal = texts_.own_name();
  const std::vector<pgwire::Value> values(parameters.begin(), parameters.end());
  pgwire::append_bind(before, {.portal = portal, .statement = text->server_name, .values = values});
  owe_hidden(Kind::bind);
  pgwire::append_execute(before, portal);
  owe_hidden(Kind::execute);
  pgwire::append_close(before, 'P', portal);
  owe_hidden(Kind::close);
}

void ServerWriter::ask_for_session() {
  if (!session_text_) {
    session_text_ =
        texts_.intern(std::string(session_sql).append(nothing_to_execute), {}, sql::unparsed("it is Millrace's own"));
  }
  const std::size_t sent = replies_.size();
  execute_own(session_text_);
  pgwire::append_sync(before);
  owe_hidden(Kind::sync);
  for (Reply& reply : replies_.all().subspan(sent)) {
    reply.purpose = Reply::Purpose::session;
    reply.shown = Reply::Shown::nothing;
  }
}

void ServerWriter::close_session_question() {
  close_text(session_text_->number);
  server_->prepared.erase(session_text_->number);
}

void ServerWriter::ask_guard(std::span<const std::string> parameters) {
  if (!guard_) {
    // It names everything with its schema, and has no constants that settings change.
    guard_ =
        texts_.intern(std::string(guard_sql).append(nothing_to_execute), {}, sql::unparsed("it is Millrace's own"));
  }
  execute_own(guard_, parameters);
  pgwire::append_flush(before);
  replies_.awaited = true;
}

void ServerWriter::forget(const PreparedRewrite& rewrite) {
  for (const auto& text : {rewrite.text, rewrite.lock, guard_}) {
    if (text) server_->prepared.erase(text->number);
  }
}

void ServerWriter::parse_instead(std::string_view name, std::string_view query_and_types) {
  append_parse_of(name, query_and_types);
  replaced = true;
}

void ServerWriter::refuse_name(std::string_view name, std::string_view query_and_types, const StatementPtr& statement,
                               const pipeline::SentText& sent) {
  close_unneeded();
  const Text text = texts_.make(query_and_types, session_.settings.meaning(), statement, false);
  append_parse_of(text->server_name, query_and_types);
  server_->unneeded.push_back(text->number);
  Reply& parsing = owe_hidden(Kind::parse);
  parsing.name = name;
  parsing.exchange.statement = statement;
  parsing.exchange.sent = sent;
  parsing.text = text;
  pgwire::append_describe(before, 'S', texts_.nobodys_name());
  Reply& refusing = replies_.owe(Kind::describe, now_);
  refusing.refusal = Reply::Refusal::name_taken;
  refusing.exchange.statement = statement;
  refusing.exchange.sent = sent;
  refusing.name = name;
  replaced = true;
}

void ServerWriter::follow_names(Prepared& prepared) {
  auto& settings = session_.settings;
  if (!prepared.text || !prepared.text->shared || session_.pin.is_set() || settings.changes_of_meaning().any()) return;
  if (prepared.text->meaning.names == settings.meaning().names) return;
  prepared.text = texts_.intern(prepared.text->query_and_types,
                                {prepared.text->meaning.constants, settings.meaning().names}, prepared.statement);
}

void ServerWriter::close_unneeded() {
  if (server_->unneeded.empty()) return;
  for (const auto number : std::exchange(server_->unneeded, {})) close_text(number);
}

void ServerWriter::close_text(std::uint64_t number) {
  pgwire::append_close(before, 'S', texts_.server_name(number));
  owe_hidden(Kind::close).closes = number;
}

/// A Parse message whose query and types are known as bytes.
void ServerWriter::append_parse_of(std::string_view name, std::string_view query_and_types) {
  append_header(before, frontend::parse, 4 + name.size() + 1 + query_and_types.size());
  before.append(name).append(1, '\0').append(query_and_types);
}

void ServerWriter::ensure_on_server(const Text& text, const pipeline::MeantByNames& meant) {
  if (const auto found = server_->prepared.find(text->number); found != server_->prepared.end()) {
    found->second.used = ++server_->use_count;
    const auto has_meant = found->second.meant;
    const bool goes_on = has_meant != 0 && session_.stays && meant.hides_another;
    const bool may_have_portals = found->second.batch != 0 || replies_.status != 'I';
    if (meant.number == 0 || meant.number == has_meant || goes_on || may_have_portals) return;
    close_text(text->number);
  } else {
    make_room();
  }
  append_parse_of(text->server_name, text->query_and_types);
  server_->prepared[text->number] = {
      .used = ++server_->use_count, .columns = 0, .batch = replies_.batch(), .meant = meant.number};
  owe_hidden(Kind::parse).text = text;
}

ServerWriter::Columns ServerWriter::compare_columns(const Prepared& prepared) {
  if (prepared.columns == 0 || replies_.status == 'E') return Columns::same;
  const std::uint64_t here = server_->prepared[prepared.text->number].columns;
  if (here != 0) return here == prepared.columns ? Columns::same : Columns::differ;
  if (std::exchange(replies_.awaited, true)) return Columns::asked;
  pgwire::append_describe(before, 'S', prepared.text->server_name);
  pgwire::append_flush(before);
  Reply& reply = owe_hidden(Kind::describe);
  reply.text = prepared.text;
  reply.expects = prepared.columns;
  return Columns::asked;
}

std::uint64_t ServerWriter::meant_on_server(const PreparedText& text, bool named) const {
  if (!named) return server_->unnamed == text.number ? server_->unnamed_meant : 0;
  const auto found = server_->prepared.find(text.number);
  return found == server_->prepared.end() ? 0 : found->second.meant;
}

std::string_view ServerWriter::name_of(const Prepared& prepared, Columns compared) const {
  return compared == Columns::differ ? texts_.nobodys_name() : prepared.text->server_name;
}

void ServerWriter::ensure_unnamed_on_server(std::uint64_t meant) {
  const auto& unnamed = session_.names.unnamed;
  const std::uint64_t wanted = unnamed && unnamed->text ? unnamed->text->number : 0;
  if (server_->unnamed == wanted) return;
  if (wanted == 0 && unnamed) return;  // too long to be kept; the client is pinned to this connection
  if (wanted == 0) {
    pgwire::append_close(before, 'S', "");
  } else {
    append_parse_of("", unnamed->text->query_and_types);
  }
  Reply& reply = owe_hidden(wanted == 0 ? Kind::close : Kind::parse);
  session_.names.touch_unnamed(reply);
  unnamed_becomes(wanted, reply, meant);
}

void ServerWriter::unnamed_becomes(std::uint64_t number, Reply& reply, std::uint64_t meant) {
  reply.server_unnamed_was = std::exchange(server_->unnamed, number);
  server_->unnamed_meant = meant;
}

void ServerWriter::make_room() {
  if (server_->prepared.size() < max_prepared_on_server) return;
  auto oldest = server_->prepared.begin();
  for (auto at = server_->prepared.begin(); at != server_->prepared.end(); ++at) {
    if (at->second.used < oldest->second.used) oldest = at;
  }
  close_text(oldest->first);
  server_->prepared.erase(oldest);
}

// What the server has answered.

void ServerWriter::on_parsed(const Reply& reply) {
  if (!reply.sql_name.empty()) {
    session_.names.replace_text(reply.sql_name, reply.text, nullptr);  // it is there by the client's own name
  } else if (reply.text) {
    if (const auto there = server_->prepared.find(reply.text->number); there != server_->prepared.end()) {
      there->second.batch = 0;
    }
  }
}

void ServerWriter::on_described(const Reply& reply, std::uint64_t columns) {
  if (!reply.text) return;
  if (reply.expects != 0 && columns == 0) columns = reply.expects;
  const auto here = server_->prepared.find(reply.text->number);
  if (here != server_->prepared.end()) here->second.columns = columns;
  session_.names.on_described(reply.name, reply.text, columns);
  if (reply.twin) settle_twin(reply, columns);
}

/// The client has prepared anew what others use.
void ServerWriter::settle_twin(const Reply& reply, std::uint64_t columns) {
  const auto other = server_->prepared.find(reply.twin->number);
  if (columns == 0 || other == server_->prepared.end() || other->second.columns != columns ||
      other->second.meant != server_->prepared[reply.text->number].meant) {
    texts_.prefer(reply.text);  // theirs is out of date, or nobody knows
    return;
  }
  session_.names.replace_text(reply.name, reply.text, reply.twin);
  server_->prepared.erase(reply.text->number);
  server_->unneeded.push_back(reply.text->number);
}

void ServerWriter::on_statements_gone() {
  server_->prepared.clear();
  server_->unneeded.clear();
}

void ServerWriter::undo(Reply& reply, std::span<Reply> later) {
  const std::string_view sqlstate = reply.failed ? reply.exchange.error_code() : std::string_view();
  if (reply.server_unnamed_was) {
    // The server drops it before it reads the text of another.
    const std::uint64_t was = reply.failed ? 0 : *reply.server_unnamed_was;
    const auto next = std::ranges::find_if(later, [](const Reply& one) { return one.server_unnamed_was.has_value(); });
    if (next == later.end()) {
      server_->unnamed = was;
      server_->unnamed_meant = 0;
    } else {
      next->server_unnamed_was = was;
    }
  }
  if (reply.purpose == Reply::Purpose::discard_sequences) server_->holder_wrote = false;
  if (reply.kind == Kind::close && reply.closes != 0) {
    server_->prepared[reply.closes] = {.used = ++server_->use_count};
  } else if (reply.kind == Kind::parse && reply.text && reply.sql_name.empty() &&
             (reply.hidden() || !reply.name.empty())) {
    // "already exists": whoever prepared it, it is there.
    if (sqlstate == "42P05") {
      server_->prepared[reply.text->number] = {.used = ++server_->use_count};
    } else {
      server_->prepared.erase(reply.text->number);
    }
  } else if (reply.kind == Kind::bind && reply.text && sqlstate == "26000") {
    // "no such statement": somebody deallocated behind our back, such as a function.
    if (reply.name.empty()) {
      server_->unnamed = backend::ServerState::unknown;
    } else {
      server_->prepared.erase(reply.text->number);
    }
  }
}

std::string ServerWriter::end_what_is_under_way(std::int64_t now) {
  now_ = now;
  std::string out;
  const bool copy_fails = std::exchange(replies_.copy_in, false);
  if (copy_fails) pgwire::append_copy_fail(out, "the client is gone");
  if (!replies_.unsynced && !replies_.skipping) return out;
  // Without a Sync from the client nothing of the batch may stay, and Sync commits: it is made to fail before.
  const auto owed = replies_.all();
  for (std::size_t at = owed.size(); at-- > 0;) {
    Reply& reply = owed[at];
    if (reply.flushed || reply.kind == Kind::sync || reply.kind == Kind::query) break;
    reply.shown = Reply::Shown::nothing;
  }
  if (!replies_.skipping && !copy_fails) {
    pgwire::append_describe(out, 'S', texts_.nobodys_name());
    owe_hidden(Kind::describe).shown = Reply::Shown::nothing;
  }
  pgwire::append_sync(out);
  owe_hidden(Kind::sync).shown = Reply::Shown::nothing;
  replies_.unsynced = replies_.skipping = false;
  return out;
}

std::size_t ServerWriter::give_back_memory() {
  before.clear();
  behind.clear();
  return shrink(before) + shrink(behind);
}

}  // namespace millrace::gateway
