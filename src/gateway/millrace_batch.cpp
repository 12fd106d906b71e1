#include "gateway/millrace_batch.hpp"

#include <algorithm>

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "sql/explained_text.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;
using Question = pipeline::Question;

constexpr std::uint32_t type_text = 25;

/// Nobody asks for more in one batch, each of which is answered with the whole text.
constexpr std::size_t most_executed = 8;

bool asks_millrace(const StatementPtr& statement) { return statement && statement->asks_millrace(); }

/// Most that is neither an EXPLAIN nor a SHOW is seen by its first letters.
bool may_ask_millrace(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n\r\f\v");
  if (first == std::string_view::npos) return false;
  if (!std::string_view("sS").contains(text[first])) return std::string_view("eE/-").contains(text[first]);
  return first + 1 < text.size() && std::string_view("hH").contains(text[first + 1]);
}

/// Of a Parse message all that follows the name, as if what is explained were prepared.
std::string explained_of(std::string_view query_and_types) {
  const auto text = query_and_types.substr(0, query_and_types.find('\0'));
  return std::string(sql::explained_text(text)).append(query_and_types.substr(text.size()));
}

}  // namespace

bool MillraceBatch::may_begin_with(const ClientReader::Item& item, pipeline::Pipeline& pipeline,
                                   SessionState& session) {
  if (!item.whole()) return false;
  const auto names_one = [&session](std::string_view name) {
    const Prepared* const prepared = session.names.find(name);
    return prepared != nullptr && asks_millrace(prepared->statement) && prepared->text;
  };
  switch (item.type) {
    case frontend::parse: {
      const auto message = pgwire::decode_parse(item.body());
      return message && may_ask_millrace(message->query) && session.settings.reads_plainly(message->query) &&
             asks_millrace(pipeline.understand(message->query));
    }
    case frontend::bind: {
      const auto names = pgwire::bind_names(item.body());
      return names && names_one(names->statement);
    }
    case frontend::describe:
    case frontend::close: {
      const auto target =
          item.type == frontend::close ? pgwire::decode_close(item.body()) : pgwire::decode_describe(item.body());
      return target && target->what == 'S' && names_one(target->name);
    }
    default:
      return false;
  }
}

BatchWalk::Portal MillraceBatch::portal() const {
  if (!portal_) return Portal::none;
  return portal_->sent == 0 ? Portal::unfinished : Portal::finished;
}

/// What a name stands for now, if it is one for Millrace.
std::optional<MillraceBatch::Named> MillraceBatch::find(std::string_view name) {
  if (parsed_ && parsed_->name == name) return Named{parsed_->statement, parsed_->query_and_types, parsed_->text};
  if (closed_ == name) return std::nullopt;
  const Prepared* const prepared = session_.names.find(name);
  if (prepared == nullptr || !asks_millrace(prepared->statement) || !prepared->text) return std::nullopt;
  return Named{prepared->statement, prepared->text->query_and_types, prepared->sent};
}

bool MillraceBatch::parse(Bytes body) {
  const auto message = pgwire::decode_parse(body);
  if (!message || parsed_ || !session_.settings.reads_plainly(message->query)) return false;
  auto statement = pipeline_.understand(message->query);
  if (!asks_millrace(statement)) return false;
  if (!message->name.empty() && closed_ != message->name && session_.names.is_taken(message->name)) return false;
  auto sent = pipeline_.sent(message->query, *statement);
  parsed_ = Parsed{.name = message->name,
                   .query_and_types = pgwire::as_text(body.subspan(message->name.size() + 1)),
                   .statement = std::move(statement),
                   .text = std::move(sent)};
  pgwire::append_parse_complete(out());
  return true;
}

bool MillraceBatch::bind(const ClientReader::Item& item) {
  if (++bound_ > most_executed) return false;
  const auto message = pgwire::decode_bind(item.body());
  if (!message || !message->portal.empty()) return false;
  const auto named = find(message->statement);
  if (!named) return false;
  const auto& formats = message->result_formats;
  const auto& statement = *named->statement;
  if (message->values.size() < statement.explained_parameters || formats.size() > columns_of(statement)) return false;
  if (statement.shows_token && !message->values.empty()) return false;
  const std::string text = explained_of(named->query_and_types);
  const std::size_t names = message->portal.size() + message->statement.size() + 2;
  const Question question{
      .kind = Question::Kind::execute, .text = text, .parameters = pgwire::as_text(item.body().subspan(names))};
  portal_ = Bound{.statement = named->statement, .rows = {}, .bytes_in = item.total, .text = named->text};
  portal_->rows = statement.shows_token ? token_rows(given_.now)
                                        : rows_of(given_.explain(question, *statement.explained), question);
  if (!formats.empty()) {
    portal_->formats = {formats[0], formats[formats.size() - 1]};
  }
  portal_changed_ = true;
  pgwire::append_bind_complete(out());
  return true;
}

bool MillraceBatch::describe(Bytes body) {
  const auto target = pgwire::decode_describe(body);
  if (!target) return false;
  if (target->what == 'P') {
    if (!target->name.empty() || !portal_) return false;
    append_columns(out(), *portal_->statement, portal_->formats);
    return true;
  }
  const auto named = find(target->name);
  if (!named) return false;
  if (const auto known = given_.parameters(explained_of(named->query_and_types)); !known.empty()) {
    out().append(known);
  } else {
    append_declared_parameters(*named);
  }
  append_columns(out(), *named->statement, {0, 0});
  return true;
}

/// The types that the client has said; where it leaves them to PostgreSQL, which isn't asked: text.
void MillraceBatch::append_declared_parameters(const Named& named) {
  const std::string message = std::string(1, '\0').append(named.query_and_types);
  const auto parse = pgwire::decode_parse(pgwire::as_bytes(message));
  std::vector<std::uint32_t> types(named.statement->explained_parameters, type_text);
  if (parse) {
    const auto& declared = parse->type_oids;
    types.resize(std::max(types.size(), declared.size()), type_text);
    for (std::size_t at = 0; at < declared.size(); ++at) {
      if (declared[at] != 0) types[at] = declared[at];
    }
  }
  pgwire::append_parameter_description(out(), types);
}

bool MillraceBatch::execute(const ClientReader::Item& item) {
  const auto message = pgwire::decode_execute(item.body());
  if (!message || !message->portal.empty() || !portal_) return false;
  pipeline::Exchange exchange{.statement = portal_->statement, .started = given_.now, .first_byte = given_.now};
  exchange.bytes_in = portal_->bytes_in + item.total;
  exchange.sent = portal_->text;
  const std::size_t before = out().size();
  auto rows = std::span<const MillraceRows::value_type>(portal_->rows).subspan(portal_->sent);
  if (exchanges_.size() == most_executed) return false;
  const bool suspends = message->max_rows > 0 && static_cast<std::size_t>(message->max_rows) <= rows.size();
  if (suspends) rows = rows.first(static_cast<std::size_t>(message->max_rows));
  append_rows(out(), *portal_->statement, rows);
  portal_->sent += rows.size();
  if (suspends) {
    pgwire::append_portal_suspended(out());
  } else {
    pgwire::append_command_complete(out(), tag_of(*portal_->statement));
  }
  exchange.rows = rows.size();
  exchange.bytes_out = out().size() - before;
  exchanges_.push_back(std::move(exchange));
  return true;
}

bool MillraceBatch::close_statement(std::string_view name) {
  if (closed_ || parsed_ || !find(name)) return false;
  closed_ = name;
  return true;
}

bool MillraceBatch::apply() {
  Reply done;  // nothing of it is under way
  auto& names = session_.names;
  if (closed_) names.close_statement(*closed_, done);
  if (parsed_) {
    const auto& statement = parsed_->statement;
    const std::string_view said = parsed_->query_and_types;
    auto text = writer_.text_of_parse(statement->shows_token ? parse_asked_of_server(said) : said, statement,
                                      !parsed_->name.empty());
    names.parse(parsed_->name, {.statement = statement, .text = std::move(text), .sent = parsed_->text}, done);
  }
  if (portal_changed_) names.unnamed_portal = portal_ ? BoundPortal{portal_->statement, portal_->text} : BoundPortal();
  return true;
}

}  // namespace millrace::gateway
