#include "gateway/batch_answer.hpp"

#include "gateway/columns.hpp"
#include "gateway/session_scope.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;
using Question = pipeline::Question;

bool steps_transaction(const StatementPtr& statement) { return statement && !statement->transaction_tag.empty(); }

}  // namespace

std::size_t BatchAnswer::answer(Bytes in, std::string& out) {
  out_ = &out;
  const std::size_t before = out.size();
  std::size_t at = 0;
  for (bool done = false; !done;) {
    const Bytes rest = in.subspan(at);
    const auto header = rest.size() < header_size ? pgwire::Header{0, 0} : pgwire::load_header(rest);
    const bool whole = header.valid() && rest.size() >= header.total();
    const ClientReader::Item item{
        .type = header.type, .message = whole ? rest.first(header.total()) : Bytes{}, .total = header.total()};
    if (!whole || !take(item)) return give_up(before);
    at += item.total;
    done = item.type == frontend::sync || item.type == frontend::flush;
  }
  if (std::ranges::any_of(parsed_, [](const Parsed& parsed) { return !parsed.known; })) return give_up(before);
  apply();
  return at;
}

std::size_t BatchAnswer::give_up(std::size_t before) {
  out_->resize(before);
  exchanges_.clear();
  return 0;
}

bool BatchAnswer::take(const ClientReader::Item& item) {
  if (portal_ && portal_->owes_head && item.type != frontend::execute) return false;
  switch (item.type) {
    case frontend::parse:
      return parse(item.body());
    case frontend::bind:
      return bind(item);
    case frontend::describe:
      return describe(item.body());
    case frontend::execute:
      return execute(item);
    case frontend::close:
      return close(item.body());
    case frontend::flush:
      return !portal_ && item.total == header_size;
    case frontend::sync:
      if (item.total != header_size) return false;
      // It may be executed later, or go on.
      if (status_ != 'I' && portal_ && (!portal_->executed || portal_->suspended)) return false;
      if (status_ == 'I') {
        portal_.reset();
        portal_changed_ = true;
      }
      pgwire::append_ready_for_query(*out_, status_);
      return true;
    default:
      return false;
  }
}

/// What a name stands for now.
std::optional<BatchAnswer::Named> BatchAnswer::find(std::string_view name) {
  for (auto& parsed : parsed_) {
    if (parsed.name == name) return Named{parsed.statement, parsed.query_and_types, &parsed, parsed.columns};
  }
  if (std::ranges::find(closed_, name) != closed_.end()) return std::nullopt;
  const Prepared* const prepared = session_.names.find(name);
  if (prepared == nullptr) return std::nullopt;
  const auto& text = prepared->text;
  // What it was read as under other settings, or by a client of its own, is another question.
  const bool is_usual = text && text->shared && text->meaning == session_.settings.meaning();
  return Named{prepared->statement, is_usual ? std::string_view(text->query_and_types) : "", nullptr,
               prepared->columns};
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
  const bool known = steps_transaction(statement) && message->type_oids.size() == 0;
  if (!known && !steps_transaction(statement) && !pipeline::may_only_read(*statement)) return false;
  parsed_.push_back({.name = message->name,
                     .query_and_types = pgwire::as_text(body.subspan(message->name.size() + 1)),
                     .statement = std::move(statement),
                     .known = known});
  pgwire::append_parse_complete(*out_);
  return true;
}

bool BatchAnswer::bind(const ClientReader::Item& item) {
  const auto names = pgwire::bind_names(item.body());
  if (!names || !names->portal.empty()) return false;
  const auto named = find(names->statement);
  if (!named || !named->statement) return false;
  const Bytes parameters = item.body().subspan(names->length());
  portal_changed_ = true;
  portal_ = Portal{.statement = named->statement, .bytes_in = item.total};
  if (steps_transaction(named->statement)) {
    const auto message = pgwire::decode_bind(item.body());
    if (!message || message->values.size() != 0) return false;
    portal_->steps = true;
  } else {
    const std::string_view text = named->query_and_types;
    if (text.empty() || !pipeline::may_only_read(*named->statement) ||
        !asks_for_answers(text.substr(0, text.find('\0'))).value_or(wanted_))
      return false;
    portal_->query_and_types = text;
    portal_->parameters = pgwire::as_text(parameters);
    portal_->columns = named->columns;
  }
  pgwire::append_bind_complete(*out_);
  return true;
}

/// What is known of the portal's answer, up to where it stops; 0: to its end.
cache::EntryPtr BatchAnswer::look_up(std::uint32_t first_rows) {
  const Question question{.kind = Question::Kind::execute,
                          .text = portal_->query_and_types,
                          .parameters = portal_->parameters,
                          .first_rows = first_rows};
  auto entry = pipeline_.look_up(scope_, question, now_);
  if (!entry && first_rows == 0) missed_ = question;
  if (!entry || (portal_->columns != 0 && portal_->columns != entry->columns())) return {};
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
    if (portal_->steps) {
      pgwire::append_no_data(*out_);
      return true;
    }
    if (portal_->executed) return false;
    portal_->owes_head = true;  // until it is known how many rows are wanted
    return true;
  }
  const auto named = find(target->name);
  if (!named || !named->statement) return false;
  if (steps_transaction(named->statement)) {
    pgwire::append_parameter_description(*out_, {});
    pgwire::append_no_data(*out_);
    return named->parsed == nullptr || named->parsed->known;
  }
  if (named->query_and_types.empty()) return false;
  const auto columns = pipeline_.look_up(
      scope_, {.kind = Question::Kind::columns, .text = named->query_and_types, .parameters = {}}, now_);
  if (!columns) return false;
  if (named->parsed != nullptr) {
    named->parsed->known = true;
    named->parsed->columns = identify_columns(std::as_bytes(std::span(columns->body())).subspan(header_size));
  }
  out_->append(columns->head()).append(columns->body());
  return true;
}

bool BatchAnswer::execute(const ClientReader::Item& item) {
  const auto message = pgwire::decode_execute(item.body());
  if (!message || !message->portal.empty() || !portal_ || portal_->executed) return false;
  portal_->executed = true;
  pipeline::Exchange exchange{.statement = portal_->statement, .started = now_, .first_byte = now_};
  exchange.bytes_in = portal_->bytes_in + item.total;
  const std::size_t before = out_->size();
  if (portal_->steps) {
    if (!step_transaction(*portal_->statement)) return false;
  } else {
    const auto most = static_cast<std::uint32_t>(std::max(message->max_rows, 0));
    const auto rows = append_rows(most);
    if (!rows) return false;
    exchange.rows = *rows;
    exchange.cache = CacheUse::hit;
    read_in_begin_ = begin_held_;
  }
  exchange.bytes_out = out_->size() - before;
  exchanges_.push_back(std::move(exchange));
  return true;
}

/// If it was asked for. False: it isn't known.
bool BatchAnswer::append_head(const cache::Entry& entry) {
  if (!portal_->owes_head) return true;
  portal_->owes_head = false;
  out_->append(entry.head());
  return !entry.head().empty();
}

/// How many, up to `most`; 0: all. Null: they aren't known.
std::optional<std::uint64_t> BatchAnswer::append_rows(std::uint32_t most) {
  if (most != 0 && !portal_->entry) {
    if (const auto first = look_up(most)) {
      if (!append_head(*first)) return std::nullopt;
      portal_->suspended = true;
      out_->append(first->body());
      return first->rows();
    }
  }
  if (!have_whole() || !append_head(*portal_->entry)) return std::nullopt;
  const std::string_view all = portal_->entry->body();
  // One that stops at its last row can't know that it is the last.
  portal_->suspended = most != 0 && portal_->entry->rows() >= most;
  if (!portal_->suspended) {
    out_->append(all);
    return portal_->entry->rows();
  }
  std::size_t end = 0;
  for (std::uint32_t row = 0; row < most; ++row) {
    end += pgwire::load_header(std::as_bytes(std::span(all)).subspan(end)).total();
  }
  out_->append(all.substr(0, end));
  pgwire::append_portal_suspended(*out_);
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
  begin_held_ = begins;
  read_in_begin_ = false;
  status_ = begins ? 'T' : 'I';
  begin_ = begins ? statement.begin_text() : "";
  ended_transaction_ |= !begins;
  pgwire::append_command_complete(*out_, statement.transaction_tag);
  return true;
}

bool BatchAnswer::close(Bytes body) {
  const auto target = pgwire::decode_close(body);
  if (!target) return false;
  if (target->what == 'P') {
    if (!target->name.empty()) return false;
    portal_.reset();
    portal_changed_ = true;
  } else {
    if (session_.names.in_sql.contains(target->name)) return false;
    if (!drop_parsed(target->name)) return false;
    const Prepared* const prepared = session_.names.find(target->name);
    if (prepared != nullptr && !target->name.empty() && !prepared->text)
      return false;  // the server has it by this name
    closed_.push_back(target->name);
  }
  pgwire::append_close_complete(*out_);
  return true;
}

/// All of it is answered: the session is as it would be.
void BatchAnswer::apply() {
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
    names.parse(parsed.name, {parsed.statement, std::move(text), parsed.columns}, done);
  }
  if (portal_changed_) names.unnamed_portal = portal_ ? portal_->statement : nullptr;
  if (ended_transaction_ || !begin_.empty()) session_.held_begin = std::move(begin_);
  session_.read_in_held_begin = read_in_begin_ && !session_.held_begin.empty();
}

}  // namespace millrace::gateway
