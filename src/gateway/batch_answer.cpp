#include "gateway/batch_answer.hpp"

#include "gateway/columns.hpp"
#include "gateway/session_scope.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pipeline/passes_on.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;
using Question = pipeline::Question;

}  // namespace

/// It begins or ends a transaction, or holds nothing: it is right anywhere, and gives no rows.
bool BatchAnswer::is_plain(const StatementPtr& statement) const {
  if (!statement) return false;
  return !statement->transaction_tag.empty() || (answers_empty_ && statement->kind == sql::StatementKind::empty);
}

/// Once a portal is described, how many rows are wanted is to be said.
bool BatchAnswer::may_follow(char type) const { return !portal_ || !portal_->owes_head || type == frontend::execute; }

BatchWalk::Portal BatchAnswer::portal() const {
  if (!portal_) return Portal::none;
  return portal_->executed && !portal_->suspended ? Portal::finished : Portal::unfinished;
}

/// What a name stands for now.
std::optional<BatchAnswer::Named> BatchAnswer::find(std::string_view name) {
  for (auto& parsed : parsed_) {
    if (parsed.name == name)
      return Named{parsed.statement, parsed.query_and_types, &parsed, parsed.columns, parsed.sent};
  }
  if (std::ranges::find(closed_, name) != closed_.end()) return std::nullopt;
  const Prepared* const prepared = session_.names.find(name);
  if (prepared == nullptr) return std::nullopt;
  const auto& text = prepared->text;
  // What it was read as under other settings, or by a client of its own, is another question.
  const bool is_usual = text && text->shared && text->meaning == session_.settings.meaning();
  const bool is_at_server = is_usual && writer_.attached();
  return Named{.statement = prepared->statement,
               .query_and_types = is_usual ? std::string_view(text->query_and_types) : "",
               .parsed = nullptr,
               .columns = prepared->columns,
               .sent = prepared->sent,
               .meant = is_at_server ? writer_.meant_on_server(*text, !name.empty()) : 0};
}

bool BatchAnswer::parse(Bytes body) {
  const auto message = pgwire::decode_parse(body);
  if (!message || !session_.settings.reads_plainly(message->query)) return false;
  auto statement = pipeline_.understand(message->query);
  if (!statement) return false;
  if (message->name.empty()) {
    if (!drop_parsed("")) return false;
  } else if (session_.names.is_taken(message->name) || find(message->name)) {
    return false;
  }
  for (std::size_t at = 0; at < message->type_oids.size(); ++at) {
    if (message->type_oids[at] >= catalog::first_normal_oid) return false;
  }
  const bool known = is_plain(statement) && message->type_oids.size() == 0;
  if (!known && !is_plain(statement) && !pipeline::may_only_read(*statement)) return false;
  auto sent = pipeline_.sent(message->query, *statement);
  parsed_.push_back({.name = message->name,
                     .query_and_types = pgwire::as_text(body.subspan(message->name.size() + 1)),
                     .statement = std::move(statement),
                     .known = known,
                     .sent = std::move(sent)});
  pgwire::append_parse_complete(out());
  return true;
}

bool BatchAnswer::bind(const ClientReader::Item& item) {
  const auto names = pgwire::bind_names(item.body());
  if (!names || !names->portal.empty()) return false;
  const auto named = find(names->statement);
  if (!named || !named->statement) return false;
  const Bytes parameters = item.body().subspan(names->length());
  portal_changed_ = true;
  portal_ = Bound{.statement = named->statement, .bytes_in = item.total, .sent = named->sent};
  if (is_plain(named->statement)) {
    const auto message = pgwire::decode_bind(item.body());
    if (!message || message->values.size() != 0) return false;
    portal_->is_plain = true;
  } else {
    const std::string_view text = named->query_and_types;
    if (text.empty() || !pipeline::may_only_read(*named->statement)) return false;
    const auto wanted = wanted_(text, shown_until_);
    if (!wanted) return false;
    portal_->needed = wanted->needed;
    portal_->query_and_types = text;
    portal_->parameters = pgwire::as_text(parameters);
    portal_->columns = named->columns;
    portal_->meant = named->meant;
    portal_->payoff = pipeline_.payoff_of(scope_, *named->statement, wanted->level);
  }
  pgwire::append_bind_complete(out());
  return true;
}

/// PostgreSQL would go on with what the names stood for when the statement was prepared, and that is another table now.
bool BatchAnswer::is_of_another(const cache::Entry& entry, std::uint64_t meant) {
  return meant != 0 && entry.meant() != meant;
}

/// What is known of the portal's answer, up to where it stops; 0: to its end.
cache::EntryPtr BatchAnswer::look_up(std::uint32_t first_rows) {
  const Question question{.kind = Question::Kind::execute,
                          .text = portal_->query_and_types,
                          .parameters = portal_->parameters,
                          .first_rows = first_rows};
  if (pipeline::passes_on(portal_->payoff, portal_->query_and_types, now_)) return {};
  auto [entry, unproved] = pipeline_.look_up(scope_, question, now_, portal_->needed);
  if (unproved) unproved_ = unproved;
  if (!entry && !unproved && first_rows == 0) missed_ = question;
  if (!entry || is_of_another(*entry, portal_->meant)) return {};
  if (portal_->columns != 0 && portal_->columns != entry->columns()) return {};
  for (auto& parsed : parsed_) parsed.known |= parsed.query_and_types == portal_->query_and_types;
  return entry;
}

bool BatchAnswer::have_whole() {
  if (!portal_->entry) portal_->entry = look_up(0);
  return static_cast<bool>(portal_->entry);
}

bool BatchAnswer::describe(Bytes body) {
  const auto target = pgwire::decode_describe(body);
  if (!target) return false;
  if (target->what == 'P') {
    if (!target->name.empty() || !portal_) return false;
    if (portal_->is_plain) {
      pgwire::append_no_data(out());
      return true;
    }
    if (portal_->executed) return false;
    portal_->owes_head = true;  // until it is known how many rows are wanted
    return true;
  }
  const auto named = find(target->name);
  if (!named || !named->statement) return false;
  if (is_plain(named->statement)) {
    pgwire::append_parameter_description(out(), {});
    pgwire::append_no_data(out());
    return named->parsed == nullptr || named->parsed->known;
  }
  if (named->query_and_types.empty()) return false;
  const auto wanted = wanted_(named->query_and_types, shown_until_);
  if (!wanted) return false;
  const auto [columns, unproved] =
      pipeline_.look_up(scope_, {.kind = Question::Kind::columns, .text = named->query_and_types, .parameters = {}},
                        now_, wanted->needed);
  if (unproved) unproved_ = unproved;
  if (!columns || is_of_another(*columns, named->meant)) return false;
  if (named->parsed != nullptr) {
    named->parsed->known = true;
    named->parsed->columns = identify_columns(std::as_bytes(std::span(columns->body())).subspan(header_size));
  }
  out().append(columns->head()).append(columns->body());
  return true;
}

bool BatchAnswer::execute(const ClientReader::Item& item) {
  const auto message = pgwire::decode_execute(item.body());
  if (!message || !message->portal.empty()) return false;
  if (!portal_ && !portal_changed_ && has_finished_) return execute_finished(item.total);
  if (!portal_ || portal_->executed) return false;
  portal_->executed = true;
  pipeline::Exchange exchange{.statement = portal_->statement, .started = now_, .first_byte = now_};
  exchange.bytes_in = portal_->bytes_in + item.total;
  exchange.sent = portal_->sent;
  const std::size_t before = out().size();
  if (portal_->statement->kind == sql::StatementKind::empty) {
    pgwire::append_empty_query_response(out());
  } else if (portal_->is_plain) {
    if (!step_transaction(*portal_->statement)) return false;
  } else {
    const auto most = static_cast<std::uint32_t>(std::max(message->max_rows, 0));
    const auto rows = append_rows(most);
    if (!rows) return false;
    exchange.rows = *rows;
    exchange.cache = CacheUse::hit;
    exchange.payoff = portal_->payoff;
    read_in_begin_ = begin_held_;
  }
  exchange.bytes_out = out().size() - before;
  exchanges_.push_back(std::move(exchange));
  return true;
}

/// It has no more rows.
bool BatchAnswer::execute_finished(std::uint64_t bytes_in) {
  const auto& [statement, sent] = session_.names.unnamed_portal;
  pipeline::Exchange exchange{.statement = statement, .started = now_, .first_byte = now_, .sent = sent};
  exchange.bytes_in = bytes_in;
  exchange.cache = CacheUse::hit;
  const std::size_t before = out().size();
  pgwire::append_command_complete(out(), "SELECT 0");
  exchange.bytes_out = out().size() - before;
  exchanges_.push_back(std::move(exchange));
  return true;
}

/// If it was asked for. False: it isn't known.
bool BatchAnswer::append_head(const cache::Entry& entry) {
  if (!portal_->owes_head) return true;
  portal_->owes_head = false;
  out().append(entry.head());
  return !entry.head().empty();
}

/// How many, up to `most`; 0: all. Null: they aren't known.
std::optional<std::uint64_t> BatchAnswer::append_rows(std::uint32_t most) {
  if (most != 0 && !portal_->entry) {
    if (const auto first = look_up(most)) {
      if (!append_head(*first)) return std::nullopt;
      portal_->suspended = true;
      shown_until_ = std::max(shown_until_, pipeline::shown_until(*first));
      saved_ns_ += first->cost_ns();
      out().append(first->body());
      return first->rows();
    }
  }
  if (!have_whole() || !append_head(*portal_->entry)) return std::nullopt;
  shown_until_ = std::max(shown_until_, pipeline::shown_until(*portal_->entry));
  saved_ns_ += portal_->entry->cost_ns();
  const std::string_view all = portal_->entry->body();
  // One that stops at its last row can't know that it is the last.
  portal_->suspended = most != 0 && portal_->entry->rows() >= most;
  if (!portal_->suspended) {
    out().append(all);
    return portal_->entry->rows();
  }
  std::size_t end = 0;
  for (std::uint32_t row = 0; row < most; ++row) {
    end += pgwire::load_header(std::as_bytes(std::span(all)).subspan(end)).total();
  }
  out().append(all.substr(0, end));
  pgwire::append_portal_suspended(out());
  return most;
}

/// False: nobody knows whether it could be prepared.
bool BatchAnswer::drop_parsed(std::string_view name) {
  const auto found = std::ranges::find(parsed_, name, &Parsed::name);
  if (found == parsed_.end()) return true;
  if (!found->known) return false;
  parsed_.erase(found);
  return true;
}

/// What PostgreSQL would warn of is for it to say.
bool BatchAnswer::step_transaction(const sql::Statement& statement) {
  const bool begins = statement.steps.front() == sql::TransactionStep::begin;
  if (begins ? status_ != 'I' : !begin_held_) return false;
  const bool has_failed = status_ == 'E';
  begin_held_ = begins;
  read_in_begin_ = false;
  status_ = begins ? 'T' : 'I';
  begin_ = begins ? statement.begin_text() : "";
  ended_transaction_ |= !begins;
  pgwire::append_command_complete(out(), has_failed ? "ROLLBACK" : statement.transaction_tag);
  return true;
}

bool BatchAnswer::close_statement(std::string_view name) {
  if (session_.names.in_sql.contains(name)) return false;
  if (!drop_parsed(name)) return false;
  const Prepared* const prepared = session_.names.find(name);
  if (prepared != nullptr && !name.empty() && !prepared->text) return false;  // the server has it by this name
  closed_.push_back(name);
  return true;
}

bool BatchAnswer::apply() {
  if (std::ranges::any_of(parsed_, [](const Parsed& parsed) { return !parsed.known; })) return false;
  Reply done;  // nothing of it is under way
  auto& names = session_.names;
  if (ended_transaction_) names.portals.clear();
  for (const auto name : closed_) names.close_statement(name, done);
  for (auto& parsed : parsed_) {
    Text text;
    const Prepared* const was = names.find(parsed.name);
    if (was != nullptr && was->text && was->text->query_and_types == parsed.query_and_types &&
        was->text->meaning == session_.settings.meaning()) {
      text = was->text;
    } else {
      text = writer_.text_of_parse(parsed.query_and_types, parsed.statement, !parsed.name.empty());
    }
    auto sent = shared_with(text, std::move(parsed.sent));
    names.parse(parsed.name, {parsed.statement, std::move(text), parsed.columns, std::move(sent)}, done);
  }
  if (portal_changed_) names.unnamed_portal = portal_ ? BoundPortal{portal_->statement, portal_->sent} : BoundPortal();
  if (ended_transaction_ || !begin_.empty()) session_.held_begin = std::move(begin_);
  session_.read_in_held_begin = read_in_begin_ && !session_.held_begin.empty();
  return true;
}

}  // namespace millrace::gateway
