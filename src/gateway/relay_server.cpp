// The half of the relay that hears the server.
#include <fmt/format.h>

#include "base/raise_to.hpp"
#include "gateway/columns.hpp"
#include "gateway/header.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

using pgwire::Bytes;
using pgwire::header_size;
using Kind = Reply::Kind;
using Purpose = Reply::Purpose;
namespace backend_type = pgwire::backend;

/// What must be understood is short. An error may be longer, and is then passed on in parts.
constexpr std::size_t max_understood = 64 * 1024;

/// Types that may come in any size, and are passed on in parts without being read.
bool streams(char type) {
  switch (type) {
    case backend_type::data_row:
    case backend_type::copy_data:
    case backend_type::row_description:
    case backend_type::parameter_description:
    case backend_type::function_call_response:
    case backend_type::notice_response:
    case backend_type::notification_response:
      return true;
    default:
      return false;
  }
}

/// A statement that comes to its end before it is executed.
bool fails_its_statement(Reply& reply) {
  const bool reads = reply.kind == Kind::parse || reply.kind == Kind::bind;
  if (reply.shown == Reply::Shown::nothing || (!reads && reply.refusal != Reply::Refusal::name_taken)) return false;
  auto& statement = reply.exchange.statement;
  if (!statement && reply.text) statement = reply.text->statement;
  return statement != nullptr;
}

bool ends_session(Bytes error) {
  const auto notice = pgwire::decode_notice(error);
  return notice && (notice->severity() == "FATAL" || notice->severity() == "PANIC");
}

bool asks_token(const Reply& reply) { return reply.exchange.statement && reply.exchange.statement->shows_token; }

/// What a message that was made to fail is refused with.
Error refusal_of(const Reply& reply) {
  if (reply.refusal == Reply::Refusal::columns_differ) {
    return Error{.message = "cached plan must not change result type", .sqlstate = "0A000"};
  }
  return Error{.message = fmt::format("prepared statement \"{}\" already exists", reply.name), .sqlstate = "42P05"};
}

}  // namespace

Relay::FromServer Relay::from_server(Bytes in, std::int64_t now) {
  now_ = now;
  if (hears_farewell(in)) return {0, {}, false};
  // What tells of the session shows no table.
  const auto tells_of_session = [](const Reply& reply) { return reply.purpose == Purpose::session; };
  if (replies_.empty() || !std::ranges::all_of(replies_.all(), tells_of_session)) seen_ = now;
  to_client_.begin(in);
  if (is_lent_ && !replies_.empty()) take_turn_again();
  bool broken = false;
  std::size_t at = 0;
  while (at < in.size()) {
    if (server_stream_left_ > 0) {
      const auto part = std::min<std::uint64_t>(server_stream_left_, in.size() - at);
      server_stream_left_ -= part;
      if (server_stream_hidden_) to_client_.leave_out(at, at + part);
      if (const Reply* const front = replies_.front(); front != nullptr && front->exchange.fill) {
        add_to_fill(*front->exchange.fill, *front, server_stream_type_, in.subspan(at, part));
      }
      at += part;
      continue;
    }
    const Bytes rest = in.subspan(at);
    if (rest.size() < header_size) break;
    const auto header = pgwire::load_header(rest);
    broken = !header.valid() || header.length > (1u << 30);
    if (broken) break;
    const std::size_t total = header.total();
    if (rest.size() < total && !may_pass_in_parts(header.type, rest.size(), total)) {
      broken = total > max_understood && header.type != backend_type::error_response;
      break;
    }
    const Bytes message = rest.first(std::min(rest.size(), total));
    Reply* const reply = replies_.front();
    if (reply != nullptr && reply->purpose == Purpose::guard && header.type == backend_type::error_response)
      hear_guards_error(*reply, message.subspan(header_size));
    if (reply != nullptr && reply->purpose == Purpose::session && header.type == backend_type::error_response &&
        ends_session(message.subspan(header_size)))
      reply->shown = Reply::Shown::errors;
    // What the server has to say about a message of ours (a long name cut short, say) it has said to the client before.
    const bool hidden = reply != nullptr && reply->hidden() &&
                        (header.type != backend_type::error_response || reply->shown == Reply::Shown::nothing) &&
                        header.type != backend_type::parameter_status &&
                        header.type != backend_type::notification_response;
    if (reply != nullptr && !hidden) {
      reply->exchange.bytes_out += total;
      if (reply->exchange.first_byte == 0) reply->exchange.first_byte = now_;
    }
    if (reply != nullptr && reply->exchange.fill) add_to_fill(*reply->exchange.fill, *reply, header.type, message);
    instead_.clear();
    dropped_ = false;
    if (reply != nullptr && reply->purpose == Purpose::guard && header.type == backend_type::data_row) {
      hear_guard(message.subspan(header_size));
    }
    if (reply != nullptr && reply->purpose == Purpose::session && header.type == backend_type::data_row) {
      hear_session(message.subspan(header_size));
    }
    if (reply != nullptr && asks_token(*reply) && rest.size() >= total) {
      give_token(*reply->exchange.statement, header.type, message.subspan(header_size));
    }
    broken = !on_message(header.type, message.subspan(header_size), total);
    if (broken) break;
    const std::size_t end = at + message.size();
    if (hidden || dropped_ || !instead_.empty()) to_client_.leave_out(at, end);
    if (!hidden && !dropped_) to_client_.put(end, instead_);
    at = end;
    server_stream_left_ = total - message.size();
    server_stream_hidden_ = hidden;
    server_stream_type_ = header.type;
  }
  if (replies_.empty()) session_.names.on_all_answered();
  if (replies_.empty() || replies_.copy_in) replies_.awaited = false;
  if ((permit_ || is_lent_) && rests()) end_turn();
  if (broken && error_.sqlstate.empty()) {
    error_ = Error{.message = "the server broke the protocol", .sqlstate = "08P01"};
  }
  const Bytes forward = to_client_.out(at);
  if (!forward.empty()) unanswered_.forbid();
  return {at, forward, broken};
}

/// A message of `total` bytes, `there` of which have come.
bool Relay::may_pass_in_parts(char type, std::size_t there, std::size_t total) {
  const Reply* const reply = replies_.front();
  const bool columns_matter = type == backend_type::row_description && reply != nullptr &&
                              reply->kind == Kind::describe && reply->text != nullptr;
  const bool changes = reply != nullptr &&
                       (asks_token(*reply) || reply->purpose == Purpose::guard || reply->purpose == Purpose::session);
  if (total <= max_understood) return streams(type) && !columns_matter && !changes;
  return streams(type) || (type == backend_type::error_response && there >= max_understood);
}

bool Relay::on_message(char type, Bytes body, std::size_t total) {
  Reply* const reply = replies_.front();
  const bool whole = total == body.size() + header_size;
  const bool of_statement = reply != nullptr && (reply->kind == Kind::query || reply->kind == Kind::execute);
  const bool of_describe = reply != nullptr && reply->kind == Kind::describe;
  switch (type) {
    case backend_type::data_row:
    case backend_type::copy_data:
    case backend_type::copy_out_response:
    case backend_type::copy_done:
      return of_statement;
    case backend_type::ready_for_query:
      if (const auto status = pgwire::decode_ready_for_query(body)) return on_ready(*status);
      return false;
    case backend_type::command_complete: {
      const auto complete = pgwire::decode_command_complete(body);
      if (!complete || !of_statement) return false;
      reply->exchange.rows += complete->rows.value_or(0);
      on_tag(complete->tag, *reply);
      if (reply->exchange.fill) reply->exchange.fill->first_rows = 0;
      if (reply->kind == Kind::execute) complete_fill(*reply);
      return on_statement_end();
    }
    case backend_type::portal_suspended:
      if (!of_statement) return false;
      complete_fill(*reply);
      return on_statement_end();
    case backend_type::empty_query_response:
      return of_statement && on_statement_end();
    case backend_type::error_response:
      return on_error(body, total);
    case backend_type::parse_complete:
      if (reply == nullptr || reply->kind != Kind::parse) return false;
      writer_.on_parsed(*reply);
      return replies_.pop(Kind::parse);
    case backend_type::bind_complete:
      return replies_.pop(Kind::bind);
    case backend_type::close_complete:
      return replies_.pop(Kind::close);
    case backend_type::parameter_description:
      return of_describe;
    case backend_type::no_data:
      return of_describe && on_described(no_columns);
    case backend_type::row_description:
      if (of_describe) return on_described(whole ? identify_columns(body) : 0);
      return reply != nullptr && reply->kind == Kind::query;
    case backend_type::copy_in_response:
      if (!of_statement || reply->own()) return false;
      // Had COPY failed before it came to a Sync that it swallows, there would be one more answer: nobody else gets
      // this connection.
      if (replies_.begin_copy_in() == Replies::CopyIn::swallows_sync) server().tainted = true;
      return true;
    case backend_type::function_call_response:
      return reply != nullptr && reply->kind == Kind::function_call;
    case backend_type::parameter_status: {
      const auto status = pgwire::decode_parameter_status(body);
      if (!status || !whole) return false;
      on_parameter(status->name, status->value);
      return true;
    }
    case backend_type::notification_response:
      seen_ = now_;  // of who has committed it
      return true;
    case backend_type::notice_response:
      return true;
    default:
      return false;
  }
}

/// Of an Execute; a Query ends with ReadyForQuery.
bool Relay::on_statement_end() {
  if (replies_.front()->kind == Kind::query) return true;
  ended(*replies_.front());
  replies_.pop();
  return true;
}

/// A statement or portal was described.
bool Relay::on_described(std::uint64_t columns) {
  Reply& reply = *replies_.front();
  writer_.on_described(reply, columns);
  if (reply.text) complete_fill(reply);
  replies_.pop();
  return true;
}

/// The application's name that a RESET goes back to is the client's, which is set behind the RESET: so the client hears
/// of it, as it would from the server alone.
void Relay::on_parameter(std::string_view name, std::string_view value) {
  auto& settings = session_.settings;
  server().parameters = backend::with_parameter(server().parameters, name, value);
  if (!settings.start() || name != "application_name") {
    settings.parameters = server().parameters;
    return;
  }
  const auto owed = replies_.all();
  const bool is_reset =
      !owed.empty() && owed.front().exchange.statement &&
      !settings.start_to_set_again(*owed.front().exchange.statement).empty() &&
      std::ranges::any_of(owed, [](const Reply& reply) { return reply.purpose == Purpose::restore_start; });
  if (is_reset) value = application;
  auto known = backend::with_parameter(settings.parameters, name, value);
  dropped_ = known == settings.parameters;
  if (!dropped_ && is_reset) pgwire::append_parameter_status(instead_, name, value);
  settings.parameters = std::move(known);
}

/// For a DEALLOCATE the server was given the statement by the client's own name; where it isn't executed, the name
/// stays.
bool Relay::leaves_a_name(const Reply& reply) const {
  const auto& statement = reply.exchange.statement;
  const bool runs = reply.kind == Kind::query || reply.kind == Kind::execute;
  if (!session_.moves || !runs || !statement) return false;
  return std::ranges::any_of(statement->changes, [](const sql::SessionChange& change) {
    return change.what == sql::SessionChange::What::deallocate || change.what == sql::SessionChange::What::prepare;
  });
}

bool Relay::on_error(Bytes body, std::size_t total) {
  const auto notice = pgwire::decode_notice(body);
  const std::string_view severity = notice ? notice->severity() : "ERROR";
  Reply* const reply = replies_.front();
  if (reply == nullptr && releasable()) {  // nothing of the client's is there, whose session goes on
    dropped_ = server().tainted = true;
    return true;
  }
  if (severity == "FATAL" || severity == "PANIC") {
    pipeline::Exchange exchange;
    exchange.fail(notice->sqlstate());
    fatal_sqlstate_ = exchange.sqlstate;
  }
  if (reply == nullptr) return true;  // such as a shutdown's, which answers nothing
  if (reply->purpose == Purpose::begin && reply->shown != Reply::Shown::nothing) {
    error_ = Error{.message = fmt::format("the transaction could not begin: {}", notice ? notice->message() : ""),
                   .sqlstate = notice ? std::string(notice->sqlstate()) : "08006"};
    return false;
  }
  replies_.copy_in = false;
  replies_.failed_since_ready = true;
  reply->failed = true;
  is_not_done(*reply);
  if (reply->purpose == Purpose::discard_sequences) server().holder_wrote = false;
  reply->exchange.fail(notice ? notice->sqlstate() : "");
  if (reply->refusal != Reply::Refusal::none && notice && notice->sqlstate() == "26000") {
    const Error refusal = refusal_of(*reply);
    pgwire::append_error_response(instead_, "ERROR", refusal);
    reply->exchange.fail(refusal.sqlstate);
  }
  if (notice && notice->sqlstate() == "57014") {
    ++cancelled_;
    say_that_it_exceeded(*reply);
  }
  if (reply->text && !reply->name.empty()) translate_names_in_error(*reply, body, total);
  if (reply->purpose == Purpose::session) server().seen = {.asked = false, .answer = {}, .under = {}, .is_lost = true};
  if (reply->purpose == Purpose::guard) guarded_failed(reply->exchange.error_code());
  if (reply->exchange.rewrite && reply->exchange.error_code() == "26000")
    writer_.forget(static_cast<const PreparedRewrite&>(*reply->exchange.rewrite));
  if (reply->purpose == Purpose::guard || reply->exchange.rewrite) as_of_original(body, total);
  if (leaves_a_name(*reply)) server().tainted = true;
  if (reply->ends_batch()) return true;  // ReadyForQuery follows
  // The server skips all that follows, up to Sync.
  Reply* const sync = replies_.next_sync();
  const bool of_query = sync != nullptr && sync->purpose == Purpose::stand_in;
  if (!of_query && fails_its_statement(*reply)) {
    if (wishes_) reply->limit.asked_for = asked_for(reply->exchange);
    ended(*reply);
  } else if (!of_query && reply->kind == Kind::execute) {
    ended(*reply);
  }
  const auto sqlstate = reply->exchange.sqlstate;
  replies_.skip_to_sync([&](Reply& skipped, std::span<Reply> later) {
    if (leaves_a_name(skipped)) server().tainted = true;
    is_not_done(skipped);
    if (of_query && skipped.kind == Kind::query && !skipped.own()) {  // without what it names it isn't executed
      sync->shown = Reply::Shown::all;
      skipped.exchange.sqlstate = sqlstate;
      ended(skipped);
      const auto& statement = skipped.exchange.statement;
      if (!session_.settings.start_to_set_again(*statement).empty()) session_.settings.start_is_unknown(server());
    }
    writer_.undo(skipped, later);
    session_.names.undo(skipped, later);
  });
  return true;
}

/// The client knows the statement by its own name.
void Relay::translate_names_in_error(const Reply& reply, Bytes body, std::size_t total) {
  const std::string ours = fmt::format("\"{}\"", reply.text->server_name);
  const std::string theirs = fmt::format("\"{}\"", reply.name);
  std::string text(pgwire::as_text(body));
  std::size_t at = text.find(ours);
  if (at == std::string::npos) return;
  for (; at != std::string::npos; at = text.find(ours, at + theirs.size())) text.replace(at, ours.size(), theirs);
  append_header(instead_, backend_type::error_response, total - 1 - body.size() + text.size());
  instead_ += text;
}

/// A message, or a part of one, of an answer that is to be kept. What it may hold is known; all else makes it one that
/// isn't kept.
void Relay::add_to_fill(pipeline::Fill& fill, const Reply& reply, char type, Bytes part) {
  const std::string_view bytes = pgwire::as_text(part);
  const bool describes = reply.kind == Kind::describe;
  switch (type) {
    case backend_type::parameter_description:
      return fill.add_head(bytes);
    case backend_type::no_data:
      return reply.text ? fill.add_body(bytes) : fill.drop();
    case backend_type::row_description:
      if (describes && reply.text) return fill.add_body(bytes);
      // Of a second Describe, or a part of the first.
      return fill.head.empty() || server_stream_left_ > 0 ? fill.add_head(bytes) : fill.drop();
    case backend_type::data_row:
    case backend_type::command_complete:
    case backend_type::portal_suspended:
      return fill.add_body(bytes);
    case backend_type::ready_for_query:
      return;
    default:
      return fill.drop();
  }
}

void Relay::complete_fill(Reply& reply) {
  const auto fill = std::exchange(reply.exchange.fill, nullptr);
  if (!fill || reply.failed) return;
  fill->rows = fill->first_rows != 0 ? fill->first_rows : reply.exchange.rows;
  // Whoever was told the columns when it prepared is answered with no others.
  if (fill->columns == 0 && reply.kind == Kind::execute && !fill->head.empty())
    fill->columns = identify_columns(pgwire::as_bytes(fill->head).subspan(header_size));
  pipeline_.complete(*fill, now_);
  // What is asked next needs a proof of this moment.
  if (fill->follows == cache::Follows::yes && scope_.shared())
    scope_.shared()->freshness->want_in_passing({.rows = now_}, 0, now_);
}

/// They are committed; or, not `is_certain`, nobody knows. `all_done`: nothing more of them is under way.
void Relay::apply_changes(bool all_done, bool is_certain) {
  if (!changes_.any()) return;
  const auto& scope = *scope_.of(session_.settings.current());
  pipeline_.apply(changes_, scope, now_, is_certain);
  raise_to(*scope.wrote, now_);
  wrote_ = now_;
  if (all_done) changes_.clear();
}

/// A statement is done.
void Relay::on_tag(std::string_view tag, Reply& reply) {
  const auto& statement = reply.exchange.statement;
  if (tag == "COMMIT" || tag == "PREPARE TRANSACTION") apply_changes(false);
  if (statement && statement->affects_new_sessions) new_sessions_differ_ = new_sessions_differ_at_end_ = true;
  if (statement && statement->kind == sql::StatementKind::unparsed) pin_unseen("statement that could not be parsed");
  if (tag == "DISCARD ALL") {
    may_hold_locks_ = false;
    // What was sent after it may hold the connection again.
    const auto is_nothing = [](const Reply& later) { return later.own() || later.kind == Kind::sync; };
    if (std::ranges::all_of(replies_.all().subspan(1), is_nothing)) {
      session_.pin.clear();
      server().is_discarded();
    }
    session_.settings.on_discard_all(server());
  } else {
    session_.settings.on_tag(tag, reply, server());
  }
  if (wishes_ && !session_.moves && statement && statement->statements == 1) note_wishes(*statement);
  if (tag == "DISCARD ALL" || tag == "DEALLOCATE ALL") {
    session_.names.forget_statements();
    writer_.on_statements_gone();
  }
  if (statement && (tag == "DEALLOCATE" || tag == "PREPARE")) session_.names.on_tag(tag, reply);
}

bool Relay::on_ready(char status) {
  Reply* const reply = replies_.front();
  if (reply == nullptr) {
    // An error has overtaken a Sync that COPY was expected to swallow: the client knows as much as with the server
    // itself, but nobody else gets this connection.
    server().tainted = true;
    replies_.status = status;
    return true;
  }
  // Otherwise an answer is missing: nobody can say any more which answer belongs to which message.
  if (!reply->ends_batch()) return false;
  const bool failed = std::exchange(replies_.failed_since_ready, false);
  auto& settings = session_.settings;
  bool start_unknown = false;
  if (const auto& statement = reply->exchange.statement; reply->kind == Kind::query && statement) {
    settings.on_text_done(*statement, failed);
    start_unknown = (failed || statement->copies_in) && !settings.start_to_set_again(*statement).empty();
  }
  if (reply->kind == Kind::query && !failed) complete_fill(*reply);
  if (reply->kind != Kind::sync) ended(*reply);
  replies_.pop();
  replies_.status = status;
  if (status == 'I' && std::exchange(new_sessions_differ_at_end_, false)) new_sessions_differ_ = true;
  replies_.copy_in = false;
  settings.on_ready(status, failed, server());
  if (start_unknown) settings.start_is_unknown(server());
  replies_.front();  // what a COPY that failed left behind is owed nothing
  if (status == 'I') apply_changes(replies_.nothing_under_way());
  if (status == 'I' && replies_.nothing_under_way()) {
    doubt_ = false;
    session_.names.forget_portals();
    settings.on_nothing_under_way();
  }
  return true;
}

}  // namespace millrace::gateway
