// The half of the relay that reads the client.
#include <fmt/format.h>

#include "gateway/header.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/limits.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;

/// A server connection keeps at most this many statements of ours; the least used goes first.
constexpr std::size_t max_prepared_on_server = 1000;
/// A client that makes more custom settings than these has its server connections closed when it is done with them.
constexpr std::size_t max_placeholders = 100;
/// Of a message that has begun: so much must be there before a server connection is asked for.
constexpr std::size_t enough_for_a_server = 64 * 1024;
/// Names of statements and portals longer than this are passed on without being understood.
constexpr std::size_t max_names = 64 * 1024;

std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

const std::shared_ptr<const sql::Statement>& unparsed_statement() {
  static const auto statement = [] {
    auto made = std::make_shared<sql::Statement>();
    made->why_unparsed = "the text is longer than MAX_PARSED_STATEMENT_KB";
    return std::shared_ptr<const sql::Statement>(std::move(made));
  }();
  return statement;
}

/// Of what DISCARD ALL undoes all but this: code that is loaded, names of custom settings.
bool leaves_traces(std::string_view pin) { return pin == "loaded library" || pin == "do block" || pin == "procedure"; }

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace

Relay::Relay(pipeline::Pipeline& pipeline, PreparedTexts& texts, Options options)
    : pipeline_(pipeline), texts_(texts), options_(options), id_(next_id()) {}

void Relay::attach(backend::ServerState& server) {
  server_ = &server;
  status_ = 'I';
  if (std::exchange(server.holder, id_) != id_) server.holder_wrote = false;
}

void Relay::detach() {
  server_ = nullptr;
  asking_ = begin_under_way_ = false;
  waited_ns_ = 0;
}

Relay::FromClient Relay::from_client(Bytes in, std::int64_t now) {
  now_ = now;
  stop_ = Next::more;
  to_server_.clear();
  answers_.clear();
  bool rewritten = false;
  std::size_t at = 0;
  std::size_t copied = 0;  // input before this is in `to_server_`, or was replaced
  while (at < in.size()) {
    if (client_stream_left_ > 0) {
      const auto part = std::min<std::uint64_t>(client_stream_left_, in.size() - at);
      client_stream_left_ -= part;
      at += part;
      continue;
    }
    const Bytes rest = in.subspan(at);
    if (rest.size() < header_size) break;
    const auto header = pgwire::load_header(rest);
    if (frontend::max_length(header.type) == 0) {
      break_off(
          fmt::format("invalid frontend message type {}", static_cast<int>(static_cast<unsigned char>(header.type))));
      break;
    }
    if (!header.valid() || header.length > std::min(frontend::max_length(header.type), options_.max_message)) {
      break_off("invalid message length");
      break;
    }
    if (header.type == frontend::terminate) {
      stop_ = Next::terminate;
      break;
    }
    const Bytes message = rest.first(std::min(rest.size(), header.total()));
    const bool whole = message.size() == header.total();
    if (server_ == nullptr) {
      if (whole && header.type == frontend::query && answer_transaction(message)) {
        at += message.size();
        copied = at;
        rewritten = true;
        continue;
      }
      if (!needs_server(rest)) break;
      if (whole && header.type == frontend::query) expect_placeholders(message);
      stop_ = Next::need_server;
      break;
    }
    waiting_ = 0;
    replacement_.clear();
    behind_.clear();
    replaced_ = false;
    if (!held_begin_.empty()) {
      to_server_.append(text_of(in.subspan(copied, at - copied)));
      copied = at;
      rewritten = true;
      send_begin();
    }
    if (begin_under_way_) {
      stop_ = Next::answer;
      break;
    }
    bool taken = true;
    if (!skipping_) {
      switch (header.type) {
        case frontend::query:
          taken = on_query(message);
          break;
        case frontend::parse:
          taken = on_parse(message);
          break;
        case frontend::bind:
          taken = on_bind(message, header.total());
          break;
        case frontend::describe:
          taken = whole && on_describe(message);
          break;
        case frontend::execute:
          taken = whole && on_execute(message);
          break;
        case frontend::close:
          taken = whole && on_close(message);
          break;
        case frontend::function_call:
          // A function is named by its number only: it may do anything, such as take a lock.
          pin_unseen("function call");
          server_->used = true;
          server_->holder_wrote = true;
          owe(Owed::Kind::function_call);
          unsynced_ = false;
          break;
        case frontend::copy_done:
        case frontend::copy_fail:
          if (copy_in_) {
            copy_in_ = false;
          } else if (query_under_way()) {
            owe(Owed::Kind::copy_end);
          }
          break;
        default:
          break;
      }
      if (!taken) {
        if (stop_ == Next::answer && !replacement_.empty()) {  // the question goes out, the message itself stays
          to_server_.append(text_of(in.subspan(copied, at - copied)));
          to_server_.append(replacement_);
          rewritten = true;
          copied = at;
        }
        break;
      }
    }
    if (header.type == frontend::sync && copy_in_) {
      server_->tainted = true;  // ignored among COPY data; but if COPY has failed meanwhile, it is answered
    } else if (header.type == frontend::sync) {
      skipping_ = false;
      unsynced_ = false;
      owe(Owed::Kind::sync);
    } else if (header.type == frontend::flush && query_under_way()) {
      owed_.back().flushed = true;
    }
    if (query_under_way()) owed_.back().bytes_in += header.total();
    if (waited_ns_ > 0) note_wait();
    if (replaced_ || !replacement_.empty()) {
      to_server_.append(text_of(in.subspan(copied, at - copied)));
      to_server_.append(replacement_);
      rewritten = true;
      copied = replaced_ ? at + message.size() : at;
    }
    parsed_.reset();  // it was this message's, which may have been skipped meanwhile
    at += message.size();
    if (!behind_.empty()) {
      to_server_.append(text_of(in.subspan(copied, at - copied)));
      to_server_.append(behind_);
      rewritten = true;
      copied = at;
    }
    client_stream_left_ = header.total() - message.size();
  }
  const Bytes answer = std::as_bytes(std::span(answers_));
  if (!rewritten) return {at, in.first(at), answer, stop_};
  to_server_.append(text_of(in.subspan(copied, at - copied)));
  return {at, std::as_bytes(std::span(to_server_)), answer, stop_};
}

/// A client that begins a message, or a batch, and falls silent must not hold a server connection: what only prepares
/// waits for what is to be answered. `rest` is what the last call was given, or more of it.
bool Relay::needs_server(Bytes rest) {
  for (; waiting_ < enough_for_a_server; waiting_ += pgwire::load_header(rest.subspan(waiting_)).total()) {
    const Bytes message = rest.subspan(waiting_);
    if (message.size() < header_size) return false;
    const auto header = pgwire::load_header(message);
    if (!header.valid() || frontend::max_length(header.type) == 0) return true;  // which is found there
    if (header.type == frontend::terminate) {
      stop_ = Next::terminate;
      return false;
    }
    if (message.size() < header.total()) return rest.size() >= enough_for_a_server;
    switch (header.type) {
      case frontend::parse:
      case frontend::bind:
      case frontend::describe:
      case frontend::close:
        break;
      default:
        return true;
    }
  }
  return true;
}

/// A transaction begins on the server with the first statement that needs the server; one without any needs none. What
/// now() and its snapshot would have been can't be seen as long as nothing of it ran.
bool Relay::answer_transaction(Bytes message) {
  constexpr std::size_t longest = 64;
  if (options_.mode != Mode::transaction || message.size() > longest) return false;
  const auto text = pgwire::decode_query(message.subspan(header_size));
  if (!text || text->empty() || !std::string_view("BbSsCcEeRrAa/-").contains(text->front())) return false;
  const auto statement = pipeline_.understand(*text);
  if (!statement || statement->transaction_tag.empty()) return false;
  const bool begins = statement->steps.front() == sql::TransactionStep::begin;
  if (begins != held_begin_.empty()) return false;  // the server warns
  if (begins) {
    held_begin_ = statement->transaction_tag;
  } else {
    held_begin_.clear();
    portals_.clear();
  }
  unnamed_.reset();
  unnamed_portal_.reset();
  const std::size_t before = answers_.size();
  pgwire::append_command_complete(answers_, statement->transaction_tag);
  pgwire::append_ready_for_query(answers_, begins ? 'T' : 'I');
  Owed owed;
  owed.kind = Owed::Kind::query;
  owed.started = owed.first_byte = now_;
  owed.statement = statement;
  owed.bytes_in = message.size();
  owed.bytes_out = answers_.size() - before;
  finish(owed);
  return true;
}

/// Whoever needs the server waits until the transaction has begun: were BEGIN to fail, as when it is cancelled, the
/// statement must not run outside of it.
void Relay::send_begin() {
  pgwire::append_query(to_server_, held_begin_);
  held_begin_.clear();
  Owed& owed = owe_own(Owed::Kind::query);
  owed.begins = true;
  unnamed_becomes(0, owed);
  asking_ = begin_under_way_ = true;
}

/// What currval() and lastval() would say is another client's, so it is discarded before the message at hand. In an
/// open batch a simple query would commit what came before it, and in a transaction close the unnamed portal.
void Relay::discard_sequences(const sql::Statement& statement, bool in_batch) {
  if (!statement.uses_sequence_state || server_->holder_wrote || copy_in_ || status_ == 'E') return;
  server_->holder_wrote = true;
  if (in_batch || unsynced_) {
    run_in_batch(replacement_, "DISCARD SEQUENCES");
    owed_.back().discards = true;
    return;
  }
  pgwire::append_query(replacement_, "DISCARD SEQUENCES");
  Owed& owed = owe_own(Owed::Kind::query);
  owed.hides_error = owed.discards = true;  // so will fail what the client sends
  unnamed_becomes(0, owed);
}

/// A statement of Millrace's own among extended messages. Its error isn't hidden: it undoes what the client did.
void Relay::run_in_batch(std::string& out, std::string_view sql) {
  const std::string name = texts_.server_name(PreparedTexts::own);
  pgwire::append_close(out, 'S', name);  // one that failed may have left it
  owe_own(Owed::Kind::close);
  pgwire::append_parse(out, name, sql);
  owe_own(Owed::Kind::parse);
  pgwire::append_bind(out, {.portal = name, .statement = name});
  owe_own(Owed::Kind::bind);
  pgwire::append_execute(out, name);
  owe_own(Owed::Kind::execute);
  pgwire::append_close(out, 'P', name);
  owe_own(Owed::Kind::close);
  pgwire::append_close(out, 'S', name);
  owe_own(Owed::Kind::close);
}

bool Relay::mentions_sequence_state(Bytes bytes) {
  const std::string_view text = text_of(bytes);
  constexpr std::string_view current = "currval", last = "lastval";
  const auto is = [](char a, char b) { return (a | 0x20) == b; };
  for (std::size_t at = text.find_first_of("vV", 4); at != std::string_view::npos && at + 2 < text.size();
       at = text.find_first_of("vV", at + 1)) {
    const auto word = text.substr(at - 4, current.size());
    if (std::ranges::equal(word, current, is) || std::ranges::equal(word, last, is)) return true;
  }
  return false;
}

/// A client that begins with setting a custom setting can't tell whether it was there before.
void Relay::expect_placeholders(Bytes message) {
  if (options_.mode != Mode::transaction || message.size() > pipeline_.limits().inline_bytes) return;
  const auto text = pgwire::decode_query(message.subspan(header_size));
  if (!text) return;
  const auto statement = pipeline_.understand(*text);
  if (!statement || statement->kind != sql::StatementKind::set) return;
  for (const auto& change : statement->changes) {
    const bool room = !placeholders_ || placeholders_->size() < max_placeholders;
    if (change.what == sql::SessionChange::What::set && change.name.contains('.') && room) {
      placeholders_ = backend::with_placeholder(placeholders_, change.name);
    }
  }
}

void Relay::refused(Bytes in, std::string_view sqlstate, std::int64_t now) {
  now_ = now;
  const auto record = [&](Owed::Kind kind, StatementPtr statement, std::size_t size) {
    Owed owed;
    owed.kind = kind;
    owed.started = now;
    owed.waited = waited_ns_;
    owed.bytes_in = size;
    owed.statement = std::move(statement);
    std::copy_n(sqlstate.begin(), std::min(sqlstate.size(), owed.sqlstate.size() - 1), owed.sqlstate.begin());
    finish(owed);
  };
  StatementPtr parsed, bound;
  const auto read = [this](std::string_view text) {
    auto statement = pipeline_.understand(text);
    return statement ? statement : unparsed_statement();
  };
  while (in.size() >= header_size) {
    const auto header = pgwire::load_header(in);
    if (!header.valid() || frontend::max_length(header.type) == 0) return;
    const bool whole = in.size() >= header.total();
    const Bytes body = in.subspan(header_size, std::min(in.size(), header.total()) - header_size);
    switch (header.type) {
      case frontend::query: {
        const auto text = pgwire::decode_query(body);
        record(Owed::Kind::query, text && whole ? read(*text) : unparsed_statement(), header.total());
        break;
      }
      case frontend::parse: {
        const auto message = pgwire::decode_parse(body);
        parsed = message && whole ? read(message->query) : unparsed_statement();
        break;
      }
      case frontend::bind:
        bound = parsed;
        if (const auto names = pgwire::bind_names(body); names && !names->statement.empty()) {
          const auto found = statements_.find(names->statement);
          if (found != statements_.end()) bound = found->second.statement;
        } else if (!parsed && unnamed_) {
          bound = unnamed_->statement;
        }
        break;
      case frontend::execute:
        record(Owed::Kind::execute, bound, header.total());
        break;
      case frontend::function_call:
        record(Owed::Kind::function_call, nullptr, header.total());
        break;
      default:
        break;
    }
    if (!whole) return;
    in = in.subspan(header.total());
  }
}

Relay::StatementPtr Relay::understand(std::string_view text) {
  if (judged_ != parameters) judge_lexing();
  if ((!plain_lexing_ || meaning_changes_.lexing) && std::any_of(text.begin(), text.end(), [](char c) {
        return c == '\\' || static_cast<unsigned char>(c) >= 0x80;
      })) {
    return sql::unparsed("the session's encoding or standard_conforming_strings may change how the text is read");
  }
  if (parsed_) return std::exchange(parsed_, nullptr);
  auto statement = pipeline_.understand(text);
  if (!statement) {
    to_parse_ = text;
    stop_ = Next::parse;
  }
  return statement;
}

/// Whether the parser, which takes backslashes and bytes for themselves, reads texts as the server does.
void Relay::judge_lexing() {
  judged_ = parameters;
  plain_lexing_ = true;
  // In these encodings a character's later bytes may look like a backslash or a quote (PostgreSQL manual, 24.3).
  constexpr std::array<std::string_view, 8> unsafe = {"BIG5", "GB18030",        "GBK", "JOHAB",
                                                      "SJIS", "SHIFT_JIS_2004", "UHC", "MSKANJI"};
  for (const auto& [name, value] : *parameters) {
    if (name == "standard_conforming_strings" && value != "on") plain_lexing_ = false;
    if (name == "client_encoding" && std::find(unsafe.begin(), unsafe.end(), value) != unsafe.end())
      plain_lexing_ = false;
  }
}

bool Relay::on_query(Bytes message) {
  const auto header = pgwire::load_header(message);
  StatementPtr statement = unparsed_statement();
  if (header.length <= pipeline_.limits().max_bytes) {
    if (message.size() < header.total()) return false;
    if (const auto text = pgwire::decode_query(message.subspan(header_size))) {
      statement = understand(*text);
      if (!statement) return false;
    }
  }
  if (options_.mode == Mode::transaction) {
    if (depends_on_names(*statement) && query_under_way() && !copy_in_) return settle();
    discard_sequences(*statement, false);
    const std::size_t before = owed_.size();
    bool prepared = name_on_server(*statement);
    prepared |= keep_meanings(*statement);
    if (prepared && !unsynced_) {
      // Were the Parse to fail, the server would skip the Query too, up to a Sync.
      for (std::size_t at = before; at < owed_.size(); ++at) owed_[at].hides_error = true;
      pgwire::append_sync(replacement_);
      owe(Owed::Kind::sync).hidden = true;
    }
  }
  note(*statement);
  Owed& owed = owe(Owed::Kind::query);
  owed.statement = statement;
  owed.statement_was = std::exchange(unnamed_, std::nullopt);
  touched_unnamed_ = {.number = owed.number, .batch = batch_ - 1};
  unnamed_becomes(0, owed);
  touch_names(*statement);
  unsynced_ = false;
  set_start_again(*statement, false);
  return true;
}

bool Relay::on_parse(Bytes message) {
  const auto header = pgwire::load_header(message);
  if (header.length > pipeline_.limits().max_bytes) {
    // Its text isn't kept, so it can't be prepared on another server connection.
    const auto name = pgwire::leading_string(message.subspan(header_size));
    if (!name && message.size() < std::min(header.total(), max_names)) return false;
    if (name && !name->empty() && options_.mode == Mode::transaction && is_statement_under_way(*name)) return settle();
    pin("statement longer than MAX_PARSED_STATEMENT_KB");
    server_->used = server_->tainted = true;
    server_->holder_wrote = true;
    const Prepared prepared{unparsed_statement(), nullptr};
    const auto taken = name ? statements_.find(*name) : statements_.end();
    if (taken != statements_.end() && taken->second.text) hold_name(taken->first);  // so that the server refuses it
    Owed& owed = owe(Owed::Kind::parse);
    unsynced_ = true;
    if (!name) return true;
    owed.name = *name;
    if (name->empty()) {
      owed.of_unnamed = true;
      owed.statement_was = std::exchange(unnamed_, prepared);
      touched_unnamed_ = {.number = owed.number, .batch = batch_};
      unnamed_becomes(0, owed);
    } else if (taken != statements_.end()) {
      owed.statement_was = taken->second;
    } else {
      statements_.emplace(*name, prepared);
    }
    if (!name->empty()) touch(touched_statements_, *name);
    return true;
  }
  if (message.size() < header.total()) return false;
  const Bytes body = message.subspan(header_size);
  const auto parse = pgwire::decode_parse(body);
  if (!parse) {  // the server says so
    owe(Owed::Kind::parse);
    unsynced_ = true;
    return true;
  }
  auto statement = understand(parse->query);
  if (!statement) return false;
  server_->used = true;
  if (options_.mode == Mode::session) {
    Owed& owed = owe(Owed::Kind::parse);
    owed.name = parse->name;
    owed.of_unnamed = parse->name.empty();
    if (parse->name.empty()) {
      owed.statement_was = std::exchange(unnamed_, Prepared{statement, nullptr});
    } else if (const auto found = statements_.find(parse->name); found != statements_.end()) {
      owed.statement_was = std::exchange(found->second, Prepared{statement, nullptr});
    } else {
      statements_.emplace(parse->name, Prepared{statement, nullptr});
    }
    owed.statement = std::move(statement);
    unsynced_ = true;
    return true;
  }

  const std::string_view query_and_types = text_of(body.subspan(parse->name.size() + 1));
  if (!parse->name.empty() && is_statement_under_way(parse->name)) return settle();
  if (statements_.contains(parse->name) || sql_names_.contains(parse->name)) {
    return refuse_name(parse->name, query_and_types, statement);
  }
  if (!has_names(*statement)) return settle();
  discard_sequences(*statement, true);
  auto text = text_of_parse(query_and_types, statement, !parse->name.empty());
  if (!parse->name.empty() && is_text_under_way(*text)) return settle();
  close_unneeded();
  std::optional<Prepared> unnamed_was;
  Text twin;
  bool describes = false;
  if (parse->name.empty()) {
    unnamed_was = std::exchange(unnamed_, Prepared{statement, text});
  } else {
    // The client may expect errors and result columns as of now, so it is prepared anew. But what others use stays as
    // it is: only if it turns out the same, the client gets theirs.
    const bool others_use_it = text->shared && text.use_count() > 1;
    describes = others_use_it;
    if (others_use_it && server_->prepared.contains(text->number)) {
      twin = std::exchange(text, texts_.make(query_and_types, text->meaning, statement, true));
    } else if (server_->prepared.contains(text->number)) {
      pgwire::append_close(replacement_, 'S', text->server_name);
      Owed& closing = owe(Owed::Kind::close);
      closing.hidden = true;
      closing.closes = text->number;
    }
    make_room_on_server();
    statements_.emplace(std::string(parse->name), Prepared{statement, text});
    server_->prepared[text->number] = {.used = ++server_->use_count, .batch = batch_};
    append_parse_of(text->server_name, query_and_types);
    if (describes) pgwire::append_describe(replacement_, 'S', text->server_name);
    replaced_ = true;
  }
  const Text described = describes ? text : nullptr;
  Owed& owed = owe(Owed::Kind::parse);
  owed.name = parse->name;
  owed.of_unnamed = parse->name.empty();
  if (owed.of_unnamed) unnamed_becomes(text->number, owed);
  owed.statement = std::move(statement);
  owed.text = std::move(text);
  owed.statement_was = std::move(unnamed_was);
  if (parse->name.empty()) {
    touched_unnamed_ = {.number = owed.number, .batch = batch_};
  } else {
    touch(touched_statements_, parse->name);
  }
  if (described) {
    Owed& describe = owe(Owed::Kind::describe);
    describe.hidden = true;
    describe.name = parse->name;
    describe.text = described;
    describe.twin = std::move(twin);
  }
  unsynced_ = true;
  return true;
}

bool Relay::on_bind(Bytes message, std::size_t total) {
  const Bytes body = message.subspan(header_size);
  const auto names = pgwire::bind_names(body);
  if (!names && message.size() < std::min(total, max_names)) return false;
  unsynced_ = true;
  if (!names) {
    if (options_.mode == Mode::transaction && message.size() < total) {
      return break_off("names of more than 64 kB are not supported in transaction mode", "54000");
    }
    owe(Owed::Kind::bind);
    return true;
  }
  if (options_.mode == Mode::transaction &&
      (is_statement_under_way(names->statement) || (!names->portal.empty() && is_portal_under_way(names->portal)))) {
    return settle();
  }
  const Prepared* prepared = nullptr;
  bool refused = false;
  if (options_.mode == Mode::transaction) close_unneeded();
  if (names->statement.empty()) {
    if (unnamed_) prepared = &*unnamed_;
    if (options_.mode == Mode::transaction) {
      if (prepared != nullptr && !has_names(*prepared->statement)) return settle();
      ensure_unnamed_on_server();
    }
  } else if (const auto found = statements_.find(names->statement); found != statements_.end()) {
    follow_names(found->second);
    prepared = &found->second;
    if (prepared->text) {
      if (!has_names(*prepared->statement) || is_text_under_way(*prepared->text)) return settle();
      ensure_on_server(prepared->text);
      const Columns compared = compare_columns(*prepared);
      if (compared == Columns::asked) return false;
      refused = compared == Columns::differ;
      const std::string server_name =
          refused ? texts_.server_name(PreparedTexts::nobodys) : prepared->text->server_name;
      const Bytes values = body.subspan(names->length());
      append_header(replacement_, frontend::bind, total - 1 - names->statement.size() + server_name.size());
      replacement_.append(names->portal).append(1, '\0').append(server_name).append(1, '\0').append(text_of(values));
      replaced_ = true;
    }
  }
  auto statement = prepared != nullptr ? prepared->statement : nullptr;
  Owed& owed = owe(Owed::Kind::bind);
  if (refused) owed.refusal = Refusal::columns_differ;
  owed.statement = statement;
  if (prepared != nullptr && prepared->text && !refused) {
    owed.text = prepared->text;
    owed.name = names->statement;
  }
  bind_portal(names->portal, std::move(statement), owed);
  return true;
}

void Relay::bind_portal(std::string_view name, StatementPtr statement, Owed& owed) {
  if (name.empty()) {
    owed.portal_was = std::exchange(unnamed_portal_, std::move(statement));
    touched_unnamed_portal_ = {.number = owed.number, .batch = batch_};
    return;
  }
  owed.portal = name;
  if (const auto found = portals_.find(name); found != portals_.end()) {
    owed.portal_was = std::exchange(found->second, std::move(statement));
  } else {
    portals_.emplace(name, std::move(statement));
  }
  touch(touched_portals_, name);
}

bool Relay::on_describe(Bytes message) {
  unsynced_ = true;
  const auto target = pgwire::decode_describe(message.subspan(header_size));
  Text text;
  bool refused = false;
  if (target && target->what == 'S' && options_.mode == Mode::transaction) {
    if (is_statement_under_way(target->name)) return settle();
    if (target->name.empty()) {
      if (unnamed_ && !has_names(*unnamed_->statement)) return settle();
      ensure_unnamed_on_server();
    } else if (const auto found = statements_.find(target->name); found != statements_.end() && found->second.text) {
      follow_names(found->second);
      text = found->second.text;
      if (!has_names(*found->second.statement) || is_text_under_way(*text)) return settle();
      ensure_on_server(text);
      const Columns compared = compare_columns(found->second);
      if (compared == Columns::asked) return false;
      refused = compared == Columns::differ;
      pgwire::append_describe(replacement_, 'S',
                              refused ? texts_.server_name(PreparedTexts::nobodys) : text->server_name);
      replaced_ = true;
      if (refused) text.reset();
    }
  }
  Owed& owed = owe(Owed::Kind::describe);
  if (refused) owed.refusal = Refusal::columns_differ;
  if (text) {
    owed.name = target->name;
    owed.text = std::move(text);
  }
  return true;
}

bool Relay::on_execute(Bytes message) {
  unsynced_ = true;
  StatementPtr statement;
  if (const auto execute = pgwire::decode_execute(message.subspan(header_size))) {
    if (options_.mode == Mode::transaction && is_portal_under_way(execute->portal)) return settle();
    if (execute->portal.empty()) {
      statement = unnamed_portal_;
    } else if (const auto found = portals_.find(execute->portal); found != portals_.end()) {
      statement = found->second;
    }
  }
  // A portal that isn't known here is a cursor of an SQL DECLARE: a fetch.
  server_->used = true;
  if (statement) {
    if (options_.mode == Mode::transaction) {
      if (depends_on_names(*statement) && query_under_way() && !copy_in_) return settle();
      name_on_server(*statement);
      keep_meanings(*statement);
    }
    note(*statement);
  }
  owe(Owed::Kind::execute).statement = statement;
  if (statement) {
    touch_names(*statement);
    set_start_again(*statement, true);
  }
  return true;
}

bool Relay::on_close(Bytes message) {
  unsynced_ = true;
  const auto target = pgwire::decode_close(message.subspan(header_size));
  const bool of_statement = target && target->what == 'S';
  if (target && options_.mode == Mode::transaction &&
      (of_statement ? is_statement_under_way(target->name) : is_portal_under_way(target->name))) {
    return settle();
  }
  Owed& owed = owe(Owed::Kind::close);
  if (!target) return true;
  if (target->what == 'P') {
    owed.portal = target->name;
    if (const auto found = portals_.find(target->name); found != portals_.end()) {
      owed.portal_was = std::move(found->second);
      portals_.erase(found);
      touch(touched_portals_, target->name);
    }
  }
  if (!of_statement) return true;
  // In transaction mode the server doesn't know the name and answers CloseComplete all the same; the shared statement
  // stays.
  if (target->name.empty()) {
    owed.statement_was = std::exchange(unnamed_, std::nullopt);
    touched_unnamed_ = {.number = owed.number, .batch = batch_};
    unnamed_becomes(0, owed);
    return true;
  }
  owed.name = target->name;
  owed.closes_sql_name = sql_names_.erase(target->name) > 0;
  if (const auto found = statements_.find(target->name); found != statements_.end()) {
    owed.statement_was = std::move(found->second);
    statements_.erase(found);
  }
  touch(touched_statements_, target->name);
  return true;
}

void Relay::note(const sql::Statement& statement) {
  server_->used = true;
  if (statement.writes) server_->holder_wrote = true;
  if (statement.wants_unused_database) wants_no_idle_sessions_ = true;
  meaning_changes_ |= change_of(statement);
  for (const auto& change : statement.changes) {
    using What = sql::SessionChange::What;
    if (change.what == What::pin) pin(change.name);
    if (change.what == What::prepare) pin("prepared statement");
    if (change.what == What::pin && leaves_traces(change.name)) server_->tainted = true;
    if (change.what == What::set || change.what == What::reset) note_placeholder(change.name);
  }
  for (const auto& name : statement.other_settings) {
    if (name.empty()) server_->tainted = true;  // it may be a placeholder, and nobody knows which
    note_placeholder(name);
  }
  if (statement.uses_sequence_state) pin("currval() or lastval()");
}

/// The names of settings that no extension defines stay on the server connection, whatever happens to the settings.
void Relay::note_placeholder(std::string_view name) {
  if (!name.contains('.')) return;
  if (options_.mode == Mode::session || (placeholders_ && placeholders_->size() >= max_placeholders)) {
    server_->tainted = true;
    return;
  }
  server_->placeholders = backend::with_placeholder(server_->placeholders, name);
}

/// SQL's PREPARE, EXECUTE and DEALLOCATE may name a statement that the client prepared in the protocol: the server is
/// to have it by that name. Nothing that touches it is under way.
bool Relay::name_on_server(const sql::Statement& statement) {
  using What = sql::SessionChange::What;
  bool named = false;
  if (status_ == 'E') return named;                   // nothing but the transaction's end is executed
  boost::unordered_flat_set<std::string_view> given;  // to be executed: what comes later in the text finds it too
  for (const auto& change : statement.changes) {
    if (change.what != What::deallocate && change.what != What::execute && change.what != What::prepare) continue;
    const auto found = statements_.find(change.name);
    if (found == statements_.end() || !found->second.text || given.contains(change.name)) continue;
    const bool executes = change.what == What::execute;
    if (executes) given.insert(change.name);
    Owed& owed = hold_name(change.name, executes ? found->second.text->query_and_types : nothing_to_execute);
    if (executes) {
      owed.sql_name = change.name;
      owed.text = found->second.text;
      touch(touched_statements_, change.name);
      pin("prepared statement executed in SQL");
    }
    named = true;
  }
  return named;
}

/// From now on the server has a statement of this name, for SQL.
Relay::Owed& Relay::hold_name(std::string_view name, std::string_view query_and_types) {
  pgwire::append_close(replacement_, 'S', name);  // an earlier one that failed may have left it
  owe(Owed::Kind::close).hidden = true;
  append_parse_of(name, query_and_types);
  Owed& owed = owe(Owed::Kind::parse);
  owed.hidden = true;
  return owed;
}

/// Whether the server must be given prepared statements for it.
bool Relay::depends_on_names(const sql::Statement& statement) const {
  using What = sql::SessionChange::What;
  const bool names = std::ranges::any_of(statement.changes, [](const sql::SessionChange& change) {
    return change.what == What::deallocate || change.what == What::execute || change.what == What::prepare;
  });
  if (names || statement.kind == sql::StatementKind::unparsed || !change_of(statement).constants) return names;
  const auto holds = [](const Prepared& prepared) { return prepared.text && prepared.text->holds_constants; };
  return (unnamed_ && holds(*unnamed_)) ||
         std::ranges::any_of(statements_, [&](const auto& named) { return holds(named.second); });
}

/// A text with EXECUTE in it is read with the statement that it names. False: something must be answered before.
bool Relay::has_names(const sql::Statement& statement) {
  const bool executes = std::ranges::any_of(statement.changes, [](const sql::SessionChange& change) {
    return change.what == sql::SessionChange::What::execute;
  });
  if (!executes) return true;
  if (query_under_way() && !copy_in_) return false;
  name_on_server(statement);
  return true;
}

/// Which statements there are will be known when it is answered.
void Relay::touch_names(const sql::Statement& statement) {
  using What = sql::SessionChange::What;
  if (options_.mode == Mode::session) return;
  for (const auto& change : statement.changes) {
    if (change.what == What::deallocate || change.what == What::prepare) {
      touch(touched_statements_, change.name, true);
    } else if (change.what == What::deallocate_all || change.what == What::discard_all) {
      touched_all_ = {.number = owed_.back().number, .batch = batch_, .at_answer = true};
    }
  }
}

/// The name is taken. PostgreSQL says so when it has read and analysed the text, so it is given the text under a name
/// of ours, and then made to fail.
bool Relay::refuse_name(std::string_view name, std::string_view query_and_types, const StatementPtr& statement) {
  close_unneeded();
  const Text text = texts_.make(query_and_types, meaning(), statement, false);
  append_parse_of(text->server_name, query_and_types);
  server_->unneeded.push_back(text->number);
  Owed& parsing = owe(Owed::Kind::parse);
  parsing.hidden = true;
  parsing.name = name;
  parsing.statement = statement;
  parsing.text = text;
  pgwire::append_describe(replacement_, 'S', texts_.server_name(PreparedTexts::nobodys));
  Owed& refusing = owe(Owed::Kind::describe);
  refusing.refusal = Refusal::name_taken;
  refusing.statement = statement;
  refusing.name = name;
  replaced_ = true;
  unsynced_ = true;
  return true;
}

/// What is under way decides what the message at hand is to be sent as: it waits until that is answered.
bool Relay::settle() {
  stop_ = Next::answer;
  if (!std::exchange(asking_, true) && unsynced_) pgwire::append_flush(replacement_);
  return false;
}

bool Relay::is_under_way(const Touch& touch) const {
  if (touch.number == 0 || first_ == owed_.size() || touch.number < owed_[first_].number) return false;
  return !copy_in_ && (touch.at_answer || touch.batch != batch_);
}

bool Relay::is_under_way(const NameMap<Touch>& touched, std::string_view name) const {
  if (touched.empty()) return false;
  const auto found = touched.find(name);
  return found != touched.end() && is_under_way(found->second);
}

bool Relay::is_statement_under_way(std::string_view name) const {
  if (name.empty()) return is_under_way(touched_unnamed_);
  return is_under_way(touched_all_) || is_under_way(touched_statements_, name);
}

bool Relay::is_portal_under_way(std::string_view name) const {
  return name.empty() ? is_under_way(touched_unnamed_portal_) : is_under_way(touched_portals_, name);
}

/// Of the message that was sent last.
void Relay::touch(NameMap<Touch>& touched, std::string_view name, bool at_answer) {
  if (touched.size() > 2 * backlog() + 64) {
    boost::unordered::erase_if(touched, [&](const auto& entry) { return entry.second.number < owed_[first_].number; });
  }
  touched.insert_or_assign(std::string(name), Touch{owed_.back().number, batch_, at_answer});
}

/// It is being prepared on the server connection in an earlier batch, which may fail, or being closed.
bool Relay::is_text_under_way(const PreparedText& text) const {
  if (copy_in_ || !query_under_way()) return false;
  const auto found = server_->prepared.find(text.number);
  if (found != server_->prepared.end()) return found->second.batch != 0 && found->second.batch != batch_;
  return std::any_of(owed_.begin() + static_cast<std::ptrdiff_t>(first_), owed_.end(),
                     [&](const Owed& owed) { return owed.closes == text.number; });
}

/// RESET goes back to what the server connection began with, which isn't what the client did. Answers the SQL that sets
/// what it leaves reset as the client began; "": nothing is to be set.
std::string Relay::start_to_set_again(const sql::Statement& statement) const {
  using What = sql::SessionChange::What;
  std::string sql;
  if (!start_) return sql;
  for (const auto& setting : *start_) {
    bool reset = false;
    for (const auto& change : statement.changes) {
      if (change.what == What::reset_all || change.what == What::discard_all) reset = true;
      if (change.name != setting.name) continue;
      if (change.what == What::reset) reset = true;
      if (change.what == What::set) reset = false;
    }
    if (reset) sql += (sql.empty() ? "" : "; ") + setting.text;
  }
  return sql;
}

/// Behind what resets it, so that it belongs to the same transaction.
void Relay::set_start_again(const sql::Statement& statement, bool in_batch) {
  const std::string sql = start_to_set_again(statement);
  if (sql.empty()) return;
  if (in_batch) {
    const std::size_t before = owed_.size();
    run_in_batch(behind_, sql);
    for (std::size_t at = before; at < owed_.size(); ++at) owed_[at].restores = true;
  } else if (!statement.copies_in) {  // which would read it
    pgwire::append_query(behind_, sql);
    Owed& owed = owe_own(Owed::Kind::query);
    owed.hides_error = owed.restores = true;
  }
}

/// What was prepared before a setting changes how its constants are read keeps its meaning: elsewhere it would be
/// prepared under the new setting, so all of it is had on this server connection, and the client stays.
bool Relay::keep_meanings(const sql::Statement& statement) {
  if (status_ == 'E' || statement.kind == sql::StatementKind::unparsed || !change_of(statement).constants) return false;
  bool any = false;
  if (unnamed_ && unnamed_->text && unnamed_->text->holds_constants) {
    pin("prepared statement with constants that a setting would change");
    any = server_->unnamed != unnamed_->text->number;
    ensure_unnamed_on_server();
  }
  for (auto& [name, prepared] : statements_) {
    if (!prepared.text || !prepared.text->holds_constants) continue;
    pin("prepared statement with constants that a setting would change");
    if (server_->prepared.contains(prepared.text->number)) continue;
    ensure_on_server(prepared.text);
    any = true;
  }
  return any;
}

/// Of what the client prepares when all that it has set is known to have taken effect.
const TextMeaning& Relay::meaning() {
  if (meaning_of_ != settings_) {
    meaning_of_ = settings_;
    meaning_ = meaning_under(settings_.get());
  }
  return meaning_;
}

/// What a client's Parse message prepares: shared with others where it is certain to mean the same to them.
Relay::Text Relay::text_of_parse(std::string_view query_and_types, const StatementPtr& statement, bool named) {
  const std::string_view query = query_and_types.substr(0, query_and_types.find('\0'));
  const bool constants_unclear = meaning_changes_.constants && holds_constants(query);
  if (named && constants_unclear) pin("statement prepared while settings change how its constants are read");
  if (!pinned_.empty() || constants_unclear || meaning_changes_.names || holds_moments(query)) {
    return texts_.make(query_and_types, meaning(), statement, false);
  }
  return texts_.intern(query_and_types, meaning(), statement);
}

/// The server looks again what a statement's names stand for when the search path or the role has changed. Shared with
/// sessions that have another one, it would have to each time.
void Relay::follow_names(Prepared& prepared) {
  if (!prepared.text || !prepared.text->shared || !pinned_.empty() || meaning_changes_.any()) return;
  if (prepared.text->meaning.names == meaning().names) return;
  prepared.text = texts_.intern(prepared.text->query_and_types, {prepared.text->meaning.constants, meaning().names},
                                prepared.statement);
}

/// Closes the statements that turned out to be others' twins.
void Relay::close_unneeded() {
  for (const auto number : std::exchange(server_->unneeded, {})) {
    pgwire::append_close(replacement_, 'S', texts_.server_name(number));
    Owed& closing = owe(Owed::Kind::close);
    closing.hidden = true;
    closing.closes = number;
  }
}

/// A Parse message whose query and types are known as bytes.
void Relay::append_parse_of(std::string_view name, std::string_view query_and_types) {
  append_header(replacement_, frontend::parse, 4 + name.size() + 1 + query_and_types.size());
  replacement_.append(name).append(1, '\0').append(query_and_types);
}

void Relay::ensure_on_server(const Text& text) {
  if (const auto found = server_->prepared.find(text->number); found != server_->prepared.end()) {
    found->second.used = ++server_->use_count;
    return;
  }
  make_room_on_server();
  append_parse_of(text->server_name, text->query_and_types);
  server_->prepared[text->number] = {.used = ++server_->use_count, .batch = batch_};
  Owed& owed = owe(Owed::Kind::parse);
  owed.hidden = true;
  owed.text = text;
}

/// A client reads rows by the columns that it was told when it prepared. On a connection of its own, PostgreSQL refuses
/// to execute the statement once they have changed; prepared anew on another connection, it would not, so the server is
/// asked for its columns there before anything is executed.
Relay::Columns Relay::compare_columns(const Prepared& prepared) {
  if (prepared.columns == 0 || status_ == 'E') return Columns::same;
  const std::uint64_t here = server_->prepared[prepared.text->number].columns;
  if (here != 0) return here == prepared.columns ? Columns::same : Columns::differ;
  stop_ = Next::answer;
  if (std::exchange(asking_, true)) return Columns::asked;
  pgwire::append_describe(replacement_, 'S', prepared.text->server_name);
  pgwire::append_flush(replacement_);
  Owed& owed = owe(Owed::Kind::describe);
  owed.hidden = true;
  owed.text = prepared.text;
  owed.expects = prepared.columns;
  return Columns::asked;
}

void Relay::ensure_unnamed_on_server() {
  const std::uint64_t wanted = unnamed_ && unnamed_->text ? unnamed_->text->number : 0;
  if (server_->unnamed == wanted) return;
  if (wanted == 0) {
    if (unnamed_) return;  // too long to be kept; the client is pinned to this connection
    pgwire::append_close(replacement_, 'S', "");
    owe(Owed::Kind::close);
  } else {
    append_parse_of("", unnamed_->text->query_and_types);
    owe(Owed::Kind::parse);
  }
  Owed& owed = owed_.back();
  owed.hidden = true;
  touched_unnamed_ = {.number = owed.number, .batch = batch_};
  unnamed_becomes(wanted, owed);
}

/// What the server's unnamed statement is, once this is done.
void Relay::unnamed_becomes(std::uint64_t number, Owed& owed) {
  owed.server_unnamed_was = std::exchange(server_->unnamed, number);
}

void Relay::make_room_on_server() {
  if (server_->prepared.size() < max_prepared_on_server) return;
  auto oldest = server_->prepared.begin();
  for (auto at = server_->prepared.begin(); at != server_->prepared.end(); ++at) {
    if (at->second.used < oldest->second.used) oldest = at;
  }
  pgwire::append_close(replacement_, 'S', texts_.server_name(oldest->first));
  Owed& closing = owe(Owed::Kind::close);
  closing.hidden = true;
  closing.closes = oldest->first;
  server_->prepared.erase(oldest);
}

Relay::Owed& Relay::owe(Owed::Kind kind) {
  Owed& owed = owed_.emplace_back();
  owed.kind = kind;
  owed.number = next_number_++;
  using Kind = Owed::Kind;
  if (kind == Kind::sync || kind == Kind::query || kind == Kind::function_call) ++batch_;
  owed.started = now_;
  return owed;
}

/// A message of Millrace's own, which is no statement of the client's.
Relay::Owed& Relay::owe_own(Owed::Kind kind) {
  Owed& owed = owe(kind);
  owed.hidden = owed.own = true;
  return owed;
}

/// The first statement that was waited for.
void Relay::note_wait() {
  const auto runs =
      std::find_if(owed_.begin() + static_cast<std::ptrdiff_t>(first_), owed_.end(), [](const Owed& owed) {
        using Kind = Owed::Kind;
        return !owed.hidden &&
               (owed.kind == Kind::query || owed.kind == Kind::execute || owed.kind == Kind::function_call);
      });
  if (runs != owed_.end()) runs->waited = std::exchange(waited_ns_, 0);
}

/// What was executed may have done anything: even DISCARD ALL would leave the names of custom settings.
void Relay::pin_unseen(std::string_view why) {
  pin(why);
  server_->tainted = true;
}

void Relay::pin(std::string_view why) {
  if (options_.mode == Mode::transaction && pinned_.empty()) pinned_ = why;
}

bool Relay::break_off(std::string message, std::string sqlstate) {
  error_ = Error{.message = std::move(message), .sqlstate = std::move(sqlstate)};
  stop_ = Next::broken;
  return false;
}

}  // namespace millrace::gateway
