// The half of the relay that reads the server.
#include <fmt/format.h>

#include "gateway/header.hpp"
#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

using pgwire::Bytes;
using pgwire::header_size;
namespace server = pgwire::backend;

/// DateStyle's texts of a session, one after the other, or a client's own text.
constexpr std::size_t longest_to_replay = 64 * 1024;
/// What must be understood is short. An error may be longer, and is then passed on in parts.
constexpr std::size_t max_understood = 64 * 1024;

std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// Types that may come in any size, and are passed on in parts without being read.
bool streams(char type) {
  switch (type) {
    case server::data_row:
    case server::copy_data:
    case server::row_description:
    case server::parameter_description:
    case server::function_call_response:
    case server::notice_response:
    case server::notification_response:
      return true;
    default:
      return false;
  }
}

constexpr std::uint64_t no_columns = 1;

/// By what PostgreSQL compares before it says that a plan's result has changed: names and types.
std::uint64_t identify_columns(Bytes row_description) {
  const auto fields = pgwire::decode_row_description(row_description);
  if (!fields) return 0;
  std::uint64_t columns = no_columns;
  for (const auto& field : *fields) {
    columns = columns * 0x9e3779b97f4a7c15 + std::hash<std::string_view>{}(field.name);
    columns = columns * 0x9e3779b97f4a7c15 +
              (std::uint64_t{field.type_oid} << 32 | static_cast<std::uint32_t>(field.type_modifier));
  }
  return columns == 0 ? no_columns + 1 : columns;
}

void copy_sqlstate(std::array<char, 6>& to, std::string_view from) {
  to = {'X', 'X', '0', '0', '0', '\0'};
  if (from.size() == 5) std::copy(from.begin(), from.end(), to.begin());
}

}  // namespace

Relay::FromServer Relay::from_server(Bytes in, std::int64_t now) {
  now_ = now;
  to_client_.clear();
  bool rewritten = false;
  bool broken = false;
  std::size_t at = 0;
  std::size_t copied = 0;
  const auto leave_out = [&](std::size_t from, std::size_t to) {
    to_client_.append(text_of(in.subspan(copied, from - copied)));
    copied = to;
    rewritten = true;
  };
  while (at < in.size()) {
    if (server_stream_left_ > 0) {
      const auto part = std::min<std::uint64_t>(server_stream_left_, in.size() - at);
      server_stream_left_ -= part;
      if (server_stream_hidden_) leave_out(at, at + part);
      at += part;
      continue;
    }
    const Bytes rest = in.subspan(at);
    if (rest.size() < header_size) break;
    const auto header = pgwire::load_header(rest);
    if (!header.valid() || header.length > (1u << 30)) {
      broken = true;
      break;
    }
    const std::size_t total = header.total();
    const bool whole = rest.size() >= total;
    Owed* owed = front();
    if (!whole) {
      const bool columns_matter = header.type == server::row_description && owed != nullptr &&
                                  owed->kind == Owed::Kind::describe && owed->text != nullptr;
      if ((columns_matter || !streams(header.type)) && total <= max_understood) break;
      if (!columns_matter && !streams(header.type)) {
        if (header.type != server::error_response) {
          broken = true;
          break;
        }
        if (rest.size() < max_understood) break;
      }
    }
    const Bytes message = rest.first(std::min(rest.size(), total));
    // What the server has to say about a message of ours (a long name cut short, say) it has said to the client before.
    const bool hidden = owed != nullptr && owed->hidden &&
                        (header.type != server::error_response || owed->hides_error) &&
                        header.type != server::parameter_status && header.type != server::notification_response;
    if (owed != nullptr && !hidden) {
      owed->bytes_out += total;
      if (owed->first_byte == 0) owed->first_byte = now_;
    }
    replacement_.clear();
    dropped_ = false;
    if (!on_message(header.type, message.subspan(header_size), total)) {
      broken = true;
      break;
    }
    if (hidden || dropped_) {
      leave_out(at, at + message.size());
    } else if (!replacement_.empty()) {
      leave_out(at, at + message.size());
      to_client_.append(replacement_);
    }
    at += message.size();
    server_stream_left_ = total - message.size();
    server_stream_hidden_ = hidden;
  }
  if (!query_under_way() || copy_in_) asking_ = false;
  if (broken && error_.sqlstate.empty()) {
    error_ = Error{.message = "the server broke the protocol", .sqlstate = "08P01"};
  }
  if (!rewritten) return {at, in.first(at), broken};
  to_client_.append(text_of(in.subspan(copied, at - copied)));
  return {at, std::as_bytes(std::span(to_client_)), broken};
}

/// The oldest message that is owed an answer.
Relay::Owed* Relay::front() {
  while (first_ < owed_.size() && owed_[first_].kind == Owed::Kind::copy_end) pop();
  return first_ < owed_.size() ? &owed_[first_] : nullptr;
}

void Relay::pop() {
  do {
    owed_[first_].statement.reset();
    owed_[first_].text.reset();
    owed_[first_].twin.reset();
    owed_[first_].statement_was.reset();
    owed_[first_].portal_was.reset();
    ++first_;
  } while (first_ < owed_.size() && owed_[first_].kind == Owed::Kind::copy_end);  // of no COPY: it isn't answered
  if (first_ == owed_.size()) {
    all_is_answered();
  } else if (first_ >= 64 && first_ * 2 >= owed_.size()) {
    owed_.erase(owed_.begin(), owed_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void Relay::all_is_answered() {
  owed_.clear();
  first_ = 0;
  touched_statements_.clear();
  touched_portals_.clear();
}

bool Relay::expect(Owed::Kind kind) {
  const Owed* owed = front();
  if (owed == nullptr || owed->kind != kind) return false;
  pop();
  return true;
}

bool Relay::on_message(char type, Bytes body, std::size_t total) {
  Owed* const owed = front();
  const auto answers_statement = [owed] {
    return owed != nullptr && (owed->kind == Owed::Kind::query || owed->kind == Owed::Kind::execute);
  };
  switch (type) {
    case server::data_row:
    case server::copy_data:
      return answers_statement();
    case server::ready_for_query:
      if (const auto status = pgwire::decode_ready_for_query(body)) return on_ready(*status);
      return false;
    case server::command_complete: {
      const auto complete = pgwire::decode_command_complete(body);
      if (!complete || !answers_statement()) return false;
      owed->rows += complete->rows.value_or(0);
      on_tag(complete->tag, *owed);
      if (owed->kind == Owed::Kind::execute) {
        finish(*owed);
        pop();
      }
      return true;
    }
    case server::error_response:
      return on_error(body, total);
    case server::parse_complete:
      if (owed == nullptr || owed->kind != Owed::Kind::parse) return false;
      on_parsed(*owed);
      pop();
      return true;
    case server::bind_complete:
      return expect(Owed::Kind::bind);
    case server::close_complete:
      return expect(Owed::Kind::close);
    case server::parameter_description:
      return owed != nullptr && owed->kind == Owed::Kind::describe;
    case server::no_data:
      return owed != nullptr && owed->kind == Owed::Kind::describe && on_described(no_columns);
    case server::row_description:
      if (owed != nullptr && owed->kind == Owed::Kind::describe) {
        return on_described(total == body.size() + header_size ? identify_columns(body) : 0);
      }
      return owed != nullptr && owed->kind == Owed::Kind::query;
    case server::empty_query_response:
    case server::portal_suspended:
      if (!answers_statement()) return false;
      if (owed->kind == Owed::Kind::execute) {
        finish(*owed);
        pop();
      }
      return true;
    case server::copy_in_response:
      if (!answers_statement()) return false;
      on_copy_in();
      return true;
    case server::copy_out_response:
    case server::copy_done:
      return answers_statement();
    case server::function_call_response:
      return owed != nullptr && owed->kind == Owed::Kind::function_call;
    case server::parameter_status: {
      const auto status = pgwire::decode_parameter_status(body);
      if (!status || total != body.size() + header_size) return false;
      on_parameter(status->name, status->value);
      return true;
    }
    case server::notice_response:
    case server::notification_response:
      return true;
    default:
      return false;
  }
}

void Relay::on_parsed(const Owed& owed) {
  if (!owed.sql_name.empty()) {  // from now on it is there by the client's own name
    const auto found = statements_.find(owed.sql_name);
    if (found != statements_.end() && found->second.text == owed.text) found->second.text = nullptr;
  } else if (owed.text) {
    if (const auto there = server_->prepared.find(owed.text->number); there != server_->prepared.end()) {
      there->second.batch = 0;
    }
  }
}

/// The application's name that a RESET goes back to is the client's, which is set behind the RESET: so the client hears
/// of it, as it would from the server alone.
void Relay::on_parameter(std::string_view name, std::string_view value) {
  server_->parameters = backend::with_parameter(server_->parameters, name, value);
  if (!start_ || name != "application_name") {
    parameters = server_->parameters;
    return;
  }
  const bool is_reset = query_under_way() && owed_[first_].statement &&
                        !start_to_set_again(*owed_[first_].statement).empty() &&
                        std::any_of(owed_.begin() + static_cast<std::ptrdiff_t>(first_), owed_.end(),
                                    [](const Owed& owed) { return owed.restores; });
  if (is_reset) value = application;
  auto known = backend::with_parameter(parameters, name, value);
  dropped_ = known == parameters;
  if (!dropped_ && is_reset) pgwire::append_parameter_status(replacement_, name, value);
  parameters = std::move(known);
}

/// FETCH and EXECUTE have those of what they name, and PostgreSQL compares nothing.
bool Relay::has_columns_of_its_own(const Prepared& prepared) {
  using Kind = sql::StatementKind;
  return !prepared.statement || (prepared.statement->kind != Kind::fetch && prepared.statement->kind != Kind::execute);
}

/// A statement or portal was described.
bool Relay::on_described(std::uint64_t columns) {
  const Owed& owed = *front();
  if (owed.text) {
    if (owed.expects != 0 && columns == 0) columns = owed.expects;  // too many to compare
    const auto here = server_->prepared.find(owed.text->number);
    if (here != server_->prepared.end()) here->second.columns = columns;
    const auto found = statements_.find(owed.name);
    if (found != statements_.end() && found->second.text == owed.text && has_columns_of_its_own(found->second)) {
      found->second.columns = columns;
    }
    if (owed.twin) settle_twin(owed, columns);
  }
  pop();
  return true;
}

/// The client has prepared anew what others use.
void Relay::settle_twin(const Owed& owed, std::uint64_t columns) {
  const auto other = server_->prepared.find(owed.twin->number);
  if (columns == 0 || other == server_->prepared.end() || other->second.columns != columns) {
    texts_.prefer(owed.text);  // theirs is out of date, or nobody knows
    return;
  }
  const auto found = statements_.find(owed.name);
  if (found != statements_.end() && found->second.text == owed.text) found->second.text = owed.twin;
  server_->prepared.erase(owed.text->number);
  server_->unneeded.push_back(owed.text->number);
}

/// The server now reads COPY data, and ignores a Sync among them: what was sent before the data's end isn't answered.
void Relay::on_copy_in() {
  copy_in_ = true;
  bool swallowed = false;
  auto at = owed_.begin() + static_cast<std::ptrdiff_t>(first_) + 1;
  while (copy_in_ && at != owed_.end()) {
    const auto kind = at->kind;
    if (kind != Owed::Kind::sync && kind != Owed::Kind::copy_end) {
      ++at;
      continue;
    }
    at = owed_.erase(at);
    if (kind == Owed::Kind::copy_end) copy_in_ = false;
    if (kind == Owed::Kind::sync) swallowed = true;
  }
  // Had COPY failed before it came to that Sync, there would be one more answer: nobody else gets this connection.
  if (swallowed) server_->tainted = true;
  if (!swallowed || owed_[first_].kind != Owed::Kind::execute) return;
  unsynced_ = std::none_of(at, owed_.end(), [](const Owed& later) {
    return later.kind == Owed::Kind::sync || later.kind == Owed::Kind::query || later.kind == Owed::Kind::function_call;
  });
}

/// For a DEALLOCATE the server was given the statement by the client's own name; where it isn't executed, the name
/// stays.
bool Relay::leaves_a_name(const Owed& owed) const {
  const bool runs = owed.kind == Owed::Kind::query || owed.kind == Owed::Kind::execute;
  if (options_.mode != Mode::transaction || !runs || !owed.statement) return false;
  return std::ranges::any_of(owed.statement->changes, [](const sql::SessionChange& change) {
    return change.what == sql::SessionChange::What::deallocate || change.what == sql::SessionChange::What::prepare;
  });
}

/// A statement that comes to its end before it is executed.
bool Relay::fails_its_statement(Owed& owed) {
  const bool reads = owed.kind == Owed::Kind::parse || owed.kind == Owed::Kind::bind;
  if (owed.hides_error || (!reads && owed.refusal != Refusal::name_taken)) return false;
  if (!owed.statement && owed.text) owed.statement = owed.text->statement;
  return owed.statement != nullptr;
}

bool Relay::on_error(Bytes body, std::size_t total) {
  const auto notice = pgwire::decode_notice(body);
  const std::string_view severity = notice ? notice->severity() : "ERROR";
  if (severity == "FATAL" || severity == "PANIC") {
    fatal_seen_ = true;
    copy_sqlstate(fatal_sqlstate_, notice->sqlstate());
  }
  Owed* const owed = front();
  if (owed == nullptr) return true;  // such as a shutdown's, which answers nothing
  if (owed->begins) {
    error_ = Error{.message = fmt::format("the transaction could not begin: {}", notice ? notice->message() : ""),
                   .sqlstate = notice ? std::string(notice->sqlstate()) : "08006"};
    return false;
  }
  copy_in_ = false;
  failed_since_ready_ = true;
  owed->failed = true;
  if (owed->discards) server_->holder_wrote = false;
  if (owed->refusal != Refusal::none && notice && notice->sqlstate() == "26000") {
    const Error refusal = owed->refusal == Refusal::columns_differ
                              ? Error{.message = "cached plan must not change result type", .sqlstate = "0A000"}
                              : Error{.message = fmt::format("prepared statement \"{}\" already exists", owed->name),
                                      .sqlstate = "42P05"};
    pgwire::append_error_response(replacement_, "ERROR", refusal);
    copy_sqlstate(owed->sqlstate, refusal.sqlstate);
  } else {
    copy_sqlstate(owed->sqlstate, notice ? notice->sqlstate() : "");
  }
  if (owed->text && !owed->name.empty()) translate_names_in_error(body, total);
  if (leaves_a_name(*owed)) server_->tainted = true;
  if (owed->kind == Owed::Kind::query || owed->kind == Owed::Kind::function_call || owed->kind == Owed::Kind::sync) {
    return true;  // ReadyForQuery follows
  }
  // The server skips all that follows, up to Sync.
  if (owed->kind == Owed::Kind::execute || fails_its_statement(*owed)) finish(*owed);
  std::size_t sync = first_;
  while (sync < owed_.size() && owed_[sync].kind != Owed::Kind::sync) ++sync;
  for (std::size_t at = sync; at-- > first_;) {
    if (leaves_a_name(owed_[at])) server_->tainted = true;
    undo(owed_[at], sync);
  }
  owed_.erase(owed_.begin() + static_cast<std::ptrdiff_t>(first_), owed_.begin() + static_cast<std::ptrdiff_t>(sync));
  if (first_ == owed_.size()) {
    all_is_answered();
    skipping_ = true;
  }
  return true;
}

/// What a skipped or failed message was taken to have done. What was sent in later batches, from `later` on, depends on
/// none of it, but may have replaced it.
void Relay::undo(Owed& owed, std::size_t later) {
  const bool failed_as = owed.failed;
  const std::string_view sqlstate(owed.sqlstate.data(), 5);
  if (owed.server_unnamed_was) {
    // The server drops it before it reads the text of another.
    const std::uint64_t was = owed.failed ? 0 : *owed.server_unnamed_was;
    const auto next = std::find_if(owed_.begin() + static_cast<std::ptrdiff_t>(later), owed_.end(),
                                   [](const Owed& one) { return one.server_unnamed_was.has_value(); });
    if (next == owed_.end()) {
      server_->unnamed = was;
    } else {
      next->server_unnamed_was = was;
    }
  }
  if (owed.discards) server_->holder_wrote = false;
  switch (owed.kind) {
    case Owed::Kind::parse:
      if (!owed.sql_name.empty()) break;
      if (owed.text && (owed.hidden || !owed.name.empty())) {
        // "already exists": whoever prepared it, it is there.
        if (failed_as && sqlstate == "42P05") {
          server_->prepared[owed.text->number] = {.used = ++server_->use_count};
        } else {
          server_->prepared.erase(owed.text->number);
        }
      }
      if (owed.hidden) break;
      if (owed.of_unnamed) {
        undo_unnamed(owed, later);
      } else if (const auto found = statements_.find(owed.name); !owed.name.empty() && found != statements_.end()) {
        if (owed.statement_was) {
          found->second = std::move(*owed.statement_was);
        } else {
          statements_.erase(found);
        }
      }
      break;
    case Owed::Kind::close:
      if (owed.closes != 0) {
        server_->prepared[owed.closes] = {.used = ++server_->use_count};
      } else if (owed.portal_was) {
        portals_.insert_or_assign(owed.portal, std::move(owed.portal_was));
      } else if (!owed.name.empty()) {
        if (owed.statement_was) statements_.insert_or_assign(owed.name, std::move(*owed.statement_was));
        if (owed.closes_sql_name) sql_names_.insert(owed.name);
      } else if (owed.statement_was) {
        undo_unnamed(owed, later);
      }
      break;
    case Owed::Kind::bind:
      // "no such statement": somebody deallocated behind our back, such as a function.
      if (failed_as && owed.text && sqlstate == "26000") {
        if (owed.name.empty()) {
          server_->unnamed = backend::ServerState::unknown;
        } else {
          server_->prepared.erase(owed.text->number);
        }
      }
      if (owed.own) break;
      if (owed.portal.empty()) {
        const auto next = std::find_if(
            owed_.begin() + static_cast<std::ptrdiff_t>(later), owed_.end(),
            [](const Owed& one) { return one.kind == Owed::Kind::bind && one.portal.empty() && !one.own; });
        (next == owed_.end() ? unnamed_portal_ : next->portal_was) = std::move(owed.portal_was);
      } else if (owed.portal_was) {
        portals_.insert_or_assign(owed.portal, std::move(owed.portal_was));
      } else if (const auto found = portals_.find(owed.portal); found != portals_.end()) {
        portals_.erase(found);
      }
      break;
    case Owed::Kind::query:
      if (!owed.own) undo_unnamed(owed, later);
      break;
    default:
      break;
  }
}

/// A message that was skipped has left the unnamed statement as it was; one that failed has dropped it.
void Relay::undo_unnamed(Owed& owed, std::size_t later) {
  auto before = owed.failed ? std::nullopt : std::move(owed.statement_was);
  const auto next = std::find_if(owed_.begin() + static_cast<std::ptrdiff_t>(later), owed_.end(), [](const Owed& one) {
    if (one.hidden) return false;
    return one.kind == Owed::Kind::query || (one.kind == Owed::Kind::parse && one.of_unnamed) ||
           (one.kind == Owed::Kind::close && one.statement_was && one.name.empty());
  });
  (next == owed_.end() ? unnamed_ : next->statement_was) = std::move(before);
}

void Relay::on_tag(std::string_view tag, Owed& owed) {
  if (owed.statement && owed.statement->affects_new_sessions) new_sessions_differ_ = true;
  if (owed.statement && owed.statement->kind == sql::StatementKind::unparsed) {
    pin_unseen("statement that could not be parsed");
  }
  if (options_.mode == Mode::session) return;
  if (tag == "DISCARD ALL") {
    // What was sent after it may hold the connection again.
    const auto next = owed_.begin() + static_cast<std::ptrdiff_t>(first_) + 1;
    const auto is_nothing = [](const Owed& later) { return later.own || later.kind == Owed::Kind::sync; };
    if (std::all_of(next, owed_.end(), is_nothing)) pinned_.clear();
    settings_ = server_->settings = start_;  // set again behind it
    changes_of_batch_.clear();
    changes_of_transaction_.clear();
    forget_statements();
    return;
  }
  if (tag == "DEALLOCATE ALL") forget_statements();
  if (tag == "COMMIT" || tag == "PREPARE TRANSACTION" || tag == "ROLLBACK") {
    // What the same batch changed before belongs to the transaction that ends here.
    for (auto& change : changes_of_batch_) changes_of_transaction_.push_back(std::move(change));
    changes_of_batch_.clear();
  }
  if (tag == "COMMIT" || tag == "PREPARE TRANSACTION") {
    changes_take_effect(std::exchange(changes_of_transaction_, {}));
  } else if (tag == "ROLLBACK") {
    const auto partly = [](sql::TransactionStep step) { return step == sql::TransactionStep::rollback_to; };
    if (!owed.statement || std::any_of(owed.statement->steps.begin(), owed.statement->steps.end(), partly)) {
      if (!changes_of_transaction_.empty()) pin("SET and ROLLBACK TO SAVEPOINT in one transaction");
    } else {
      changes_of_transaction_.clear();
    }
  }
  if (!owed.statement) return;
  if (tag == "DEALLOCATE" || tag == "PREPARE") names_change(tag, owed);
  placeholders_are_known(tag, owed);
  if (owed.statement->statements == 1) {
    changes_of_batch_.insert(changes_of_batch_.end(), owed.statement->changes.begin(), owed.statement->changes.end());
  }
}

/// The next of the text's statements of this kind is done.
void Relay::names_change(std::string_view tag, Owed& owed) {
  using What = sql::SessionChange::What;
  const auto& changes = owed.statement->changes;
  const What what = tag == "PREPARE" ? What::prepare : What::deallocate;
  while (owed.names_done < changes.size()) {
    const auto& change = changes[owed.names_done++];
    if (change.what != what) continue;
    if (what == What::prepare) {
      sql_names_.insert(change.name);
      return;
    }
    sql_names_.erase(change.name);
    if (const auto found = statements_.find(change.name); found != statements_.end()) statements_.erase(found);
    return;
  }
}

/// What is set, and be it for a transaction that is undone, is known by its name from then on. In a text of several
/// statements, the next of its SET or RESET is done; what it sets in other ways is taken to be at its first statement.
void Relay::placeholders_are_known(std::string_view tag, Owed& owed) {
  const auto is_known = [this](const std::string& name) {
    if (!name.contains('.') || !server_->placeholders || !std::ranges::binary_search(*server_->placeholders, name))
      return;
    placeholders_ = backend::with_placeholder(placeholders_, name);
    if (*placeholders_ == *server_->placeholders) placeholders_ = server_->placeholders;
  };
  const auto& statement = *owed.statement;
  if (!std::exchange(owed.others_are_set, true)) {
    for (const auto& name : statement.other_settings) is_known(name);
  }
  if (tag != "SET" && tag != "RESET") return;
  using What = sql::SessionChange::What;
  while (owed.settings_done < statement.changes.size()) {
    const auto& change = statement.changes[owed.settings_done++];
    if (change.what != What::set && change.what != What::reset) continue;
    is_known(change.name);
    return;
  }
}

bool Relay::on_ready(char status) {
  Owed* owed = front();
  while (owed != nullptr && owed->kind != Owed::Kind::query && owed->kind != Owed::Kind::function_call &&
         owed->kind != Owed::Kind::sync) {
    return false;  // an answer is missing: nobody can say any more which answer belongs to which message
  }
  if (owed == nullptr) {
    // An error has overtaken a Sync that COPY was expected to swallow: the client knows as much as with the server
    // itself, but nobody else gets this connection.
    server_->tainted = true;
    status_ = status;
    return true;
  }
  if (owed->kind == Owed::Kind::query && owed->statement && options_.mode == Mode::transaction) {
    const auto& statement = *owed->statement;
    if (statement.statements > 1 && !statement.changes.empty()) {
      // What stands before a BEGIN in the same text is part of its transaction too.
      const auto only_begins = [](sql::TransactionStep step) { return step == sql::TransactionStep::begin; };
      if (!std::all_of(statement.steps.begin(), statement.steps.end(), only_begins)) {
        pin("SET and transaction commands in one text");
      } else if (!failed_since_ready_) {
        changes_of_batch_.insert(changes_of_batch_.end(), statement.changes.begin(), statement.changes.end());
      }
    }
  }
  const bool start_unknown = owed->kind == Owed::Kind::query && owed->statement &&
                             (failed_since_ready_ || owed->statement->copies_in) &&
                             !start_to_set_again(*owed->statement).empty();
  if (owed->begins) begin_under_way_ = false;
  if (owed->kind != Owed::Kind::sync) finish(*owed);
  pop();
  status_ = status;
  copy_in_ = false;
  if (!changes_of_batch_.empty() || !changes_of_transaction_.empty()) {
    if (failed_since_ready_) changes_of_batch_.clear();
    if (status == 'I') {
      if (!failed_since_ready_) changes_take_effect(std::exchange(changes_of_transaction_, {}));
      changes_take_effect(std::exchange(changes_of_batch_, {}));
      changes_of_transaction_.clear();
    } else {
      for (auto& change : changes_of_batch_) changes_of_transaction_.push_back(std::move(change));
      changes_of_batch_.clear();
    }
  }
  if (start_unknown) start_is_unknown();
  front();  // what a COPY that failed left behind is owed nothing
  if (status == 'I' && !query_under_way() && !unsynced_) {
    if (!portals_.empty()) portals_.clear();
    unnamed_portal_.reset();
  }
  if (status == 'I' && !query_under_way() && !unsynced_) meaning_changes_ = {};
  failed_since_ready_ = false;
  return true;
}

namespace {

using SharedSettings = std::shared_ptr<const backend::Settings>;

/// A style and an order can be set one by one, so both of the texts count; but one that says the same as an earlier one
/// takes its place.
std::string after_date_style(const std::string& before, const std::string& text) {
  std::string kept;
  for (std::size_t at = 0; at < before.size();) {
    const std::size_t end = std::min(before.find("; ", at), before.size());
    const std::string_view one = std::string_view(before).substr(at, end - at);
    if (one != text) kept.append(one).append("; ");
    at = end + 2;
  }
  if (kept.size() > longest_to_replay) kept.clear();  // the client is pinned by then
  return kept + text;
}

/// `settings` with what is in `start` and not in it.
SharedSettings completed(SharedSettings settings, const SharedSettings& start) {
  if (!start) return settings;
  for (const auto& change : *start) {
    if (backend::has_setting(settings, change.name)) continue;
    auto more = settings ? std::make_shared<backend::Settings>(*settings) : std::make_shared<backend::Settings>();
    more->push_back(change);
    settings = std::move(more);
  }
  return settings;
}

/// To the end, as what was set before may matter to it: the role, the encoding of its text.
void set(backend::Settings& settings, const sql::SessionChange& change) {
  std::string text = change.text;
  const auto found = std::ranges::find(settings, change.name, &backend::SettingChange::name);
  if (found != settings.end()) {
    if (change.name == "datestyle") text = after_date_style(found->text, text);
    settings.erase(found);
  }
  settings.push_back({change.name, std::move(text)});
}

SharedSettings changed(const SharedSettings& settings, const std::vector<sql::SessionChange>& changes) {
  using What = sql::SessionChange::What;
  auto next = settings ? std::make_shared<backend::Settings>(*settings) : std::make_shared<backend::Settings>();
  const auto named = [&next](const std::string& name) {
    return std::find_if(next->begin(), next->end(), [&](const auto& change) { return change.name == name; });
  };
  for (const auto& change : changes) {
    switch (change.what) {
      case What::set:
        set(*next, change);
        break;
      case What::reset:
        if (const auto found = named(change.name); found != next->end()) next->erase(found);
        break;
      case What::reset_all:
        std::erase_if(*next, [](const auto& kept) { return kept.name != "role"; });
        break;
      default:
        break;
    }
  }
  return next->empty() ? nullptr : std::move(next);
}

}  // namespace

void Relay::changes_take_effect(const std::vector<sql::SessionChange>& changes) {
  if (changes.empty() || server_ == nullptr) return;
  const bool one = server_->settings == settings_;
  auto wanted = changed(settings_, changes);
  if (wanted && std::ranges::any_of(*wanted, [](const auto& kept) { return kept.text.size() > longest_to_replay; })) {
    pin("a setting whose text is long");
  }
  settings_ = completed(std::move(wanted), start_);
  server_->settings = one ? settings_ : completed(changed(server_->settings, changes), start_);
}

/// What a RESET left of what the client began with, where it isn't known whether it was undone: it is set again before
/// anybody has the connection next.
void Relay::start_is_unknown() {
  auto settings = server_->settings ? *server_->settings : backend::Settings{};
  for (const auto& setting : *start_) {
    std::erase_if(settings, [&](const auto& kept) { return kept.name == setting.name; });
    settings.push_back({setting.name, ""});
  }
  server_->settings = std::make_shared<const backend::Settings>(std::move(settings));
}

/// Nothing that was sent after it knows of them. The unnamed one stays.
void Relay::forget_statements() {
  statements_.clear();
  sql_names_.clear();
  server_->prepared.clear();
  server_->unneeded.clear();
}

void Relay::finish(Owed& owed) {
  if (owed.own) return;
  QueryRecord record;
  if (owed.statement) {
    record.fingerprint = owed.statement->fingerprint;
    record.kind = static_cast<std::uint8_t>(owed.statement->kind);
  } else {
    record.kind = static_cast<std::uint8_t>(owed.kind == Owed::Kind::function_call ? sql::StatementKind::call
                                                                                   : sql::StatementKind::fetch);
  }
  record.user = options_.user;
  record.database = options_.database;
  record.application = application;
  record.started_ns = owed.started - owed.waited;
  record.queue_ns = owed.waited;
  record.first_byte_ns = owed.first_byte == 0 ? 0 : owed.first_byte - record.started_ns;
  record.duration_ns = now_ - record.started_ns;
  record.rows = owed.rows;
  record.bytes_in = owed.bytes_in;
  record.bytes_out = owed.bytes_out;
  record.sqlstate = owed.sqlstate;
  pipeline_.finish(record);
}

void Relay::lost(std::int64_t now) {
  now_ = now;
  for (; front() != nullptr; pop()) {
    Owed& owed = *front();
    const bool runs =
        owed.kind == Owed::Kind::query || owed.kind == Owed::Kind::execute || owed.kind == Owed::Kind::function_call;
    if (!runs || owed.hidden) continue;
    if (!owed.failed && fatal_seen_) owed.sqlstate = fatal_sqlstate_;
    if (!owed.failed && !fatal_seen_) copy_sqlstate(owed.sqlstate, error_.sqlstate.empty() ? "08006" : error_.sqlstate);
    finish(owed);
  }
}

bool Relay::idle() const {
  return !query_under_way() && !unsynced_ && !copy_in_ && !skipping_ && status_ == 'I' && held_begin_.empty() &&
         client_stream_left_ == 0 && server_stream_left_ == 0;
}

bool Relay::releasable() const {
  return options_.mode == Mode::transaction && server_ != nullptr && pinned_.empty() && idle();
}

std::string Relay::ending() {
  std::string out;
  if (client_stream_left_ > 0) return out;
  const bool copy_fails = std::exchange(copy_in_, false);
  if (copy_fails) pgwire::append_copy_fail(out, "the client is gone");
  if (unsynced_ || skipping_) {
    // Without a Sync from the client nothing of the batch may stay, and Sync commits: it is made to fail before.
    for (std::size_t at = owed_.size(); at-- > first_;) {
      Owed& later = owed_[at];
      if (later.flushed || later.kind == Owed::Kind::sync || later.kind == Owed::Kind::query) break;
      later.hidden = later.hides_error = true;
    }
    if (!skipping_ && !copy_fails) {
      pgwire::append_describe(out, 'S', texts_.server_name(PreparedTexts::nobodys));
      Owed& failing = owe(Owed::Kind::describe);
      failing.hidden = failing.hides_error = true;
    }
    pgwire::append_sync(out);
    Owed& last = owe(Owed::Kind::sync);
    last.hidden = last.hides_error = true;
    unsynced_ = skipping_ = false;
  }
  return out;
}

/// The client knows the statement by its own name.
void Relay::translate_names_in_error(Bytes body, std::size_t total) {
  const std::string ours = fmt::format("\"{}\"", front()->text->server_name);
  const std::string theirs = fmt::format("\"{}\"", front()->name);
  std::string text(text_of(body));
  std::size_t at = text.find(ours);
  if (at == std::string::npos) return;
  for (; at != std::string::npos; at = text.find(ours, at + theirs.size())) text.replace(at, ours.size(), theirs);
  append_header(replacement_, server::error_response, total - 1 - body.size() + text.size());
  replacement_ += text;
}

}  // namespace millrace::gateway
