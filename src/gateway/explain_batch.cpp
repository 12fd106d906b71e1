#include "gateway/explain_batch.hpp"

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

bool is_explain(const StatementPtr& statement) { return statement && statement->explained; }

/// Most that isn't an EXPLAIN is seen by its first letter.
bool may_be_explain(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n\r\f\v");
  return first != std::string_view::npos && std::string_view("eE/-").contains(text[first]);
}

/// Of a Parse message all that follows the name, as if what is explained were prepared.
std::string explained_of(std::string_view query_and_types) {
  const auto text = query_and_types.substr(0, query_and_types.find('\0'));
  return std::string(sql::explained_text(text)).append(query_and_types.substr(text.size()));
}

}  // namespace

bool ExplainBatch::may_begin_with(const ClientReader::Item& item, pipeline::Pipeline& pipeline, SessionState& session) {
  if (!item.whole()) return false;
  const auto names_one = [&session](std::string_view name) {
    const Prepared* const prepared = session.names.find(name);
    return prepared != nullptr && is_explain(prepared->statement) && prepared->text;
  };
  switch (item.type) {
    case frontend::parse: {
      const auto message = pgwire::decode_parse(item.body());
      return message && may_be_explain(message->query) && session.settings.reads_plainly(message->query) &&
             is_explain(pipeline.understand(message->query));
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

std::size_t ExplainBatch::answer(Bytes in, std::string& out) {
  out_ = &out;
  const std::size_t before = out.size();
  std::size_t at = 0;
  for (bool done = false; !done;) {
    const Bytes rest = in.subspan(at);
    const auto header = rest.size() < header_size ? pgwire::Header{0, 0} : pgwire::load_header(rest);
    const bool whole = header.valid() && rest.size() >= header.total();
    const ClientReader::Item item{
        .type = header.type, .message = whole ? rest.first(header.total()) : Bytes{}, .total = header.total()};
    lacks_its_end_ = !whole && (rest.size() < header_size || header.valid());
    if (!whole || !take(item)) {
      out.resize(before);
      return 0;
    }
    at += item.total;
    done = item.type == frontend::sync || item.type == frontend::flush;
  }
  apply();
  return at;
}

bool ExplainBatch::take(const ClientReader::Item& item) {
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
      if (given_.status != 'I' && portal_ && portal_->sent == 0) return false;  // it may be executed, later
      if (given_.status == 'I') portal_.reset();
      pgwire::append_ready_for_query(*out_, given_.status);
      return true;
    default:
      return false;
  }
}

/// What a name stands for now, if it is an EXPLAIN (MILLRACE).
std::optional<ExplainBatch::Named> ExplainBatch::find(std::string_view name) {
  if (parsed_ && parsed_->name == name) return Named{parsed_->statement, parsed_->query_and_types};
  if (closed_ == name) return std::nullopt;
  const Prepared* const prepared = session_.names.find(name);
  if (prepared == nullptr || !is_explain(prepared->statement) || !prepared->text) return std::nullopt;
  return Named{prepared->statement, prepared->text->query_and_types};
}

bool ExplainBatch::parse(Bytes body) {
  const auto message = pgwire::decode_parse(body);
  if (!message || parsed_ || !session_.settings.reads_plainly(message->query)) return false;
  auto statement = pipeline_.understand(message->query);
  if (!is_explain(statement)) return false;
  if (!message->name.empty() && closed_ != message->name && session_.names.is_taken(message->name)) return false;
  parsed_ = Parsed{.name = message->name,
                   .query_and_types = pgwire::as_text(body.subspan(message->name.size() + 1)),
                   .statement = std::move(statement)};
  pgwire::append_parse_complete(*out_);
  return true;
}

bool ExplainBatch::bind(const ClientReader::Item& item) {
  if (++bound_ > most_executed) return false;
  const auto message = pgwire::decode_bind(item.body());
  if (!message || !message->portal.empty()) return false;
  const auto named = find(message->statement);
  if (!named) return false;
  const auto& formats = message->result_formats;
  if (message->values.size() < named->statement->explained_parameters || formats.size() > 2) return false;
  const std::string text = explained_of(named->query_and_types);
  const std::size_t names = message->portal.size() + message->statement.size() + 2;
  const Question question{
      .kind = Question::Kind::execute, .text = text, .parameters = pgwire::as_text(item.body().subspan(names))};
  portal_ = Portal{.statement = named->statement, .rows = {}, .bytes_in = item.total};
  portal_->rows = rows_of(given_.explain(question, *named->statement->explained), question);
  if (!formats.empty()) {
    portal_->formats = {formats[0], formats[formats.size() - 1]};
  }
  portal_changed_ = true;
  pgwire::append_bind_complete(*out_);
  return true;
}

bool ExplainBatch::describe(Bytes body) {
  const auto target = pgwire::decode_describe(body);
  if (!target) return false;
  if (target->what == 'P') {
    if (!target->name.empty() || !portal_) return false;
    append_explain_columns(*out_, portal_->formats);
    return true;
  }
  const auto named = find(target->name);
  if (!named) return false;
  if (const auto known = given_.parameters(explained_of(named->query_and_types)); !known.empty()) {
    out_->append(known);
  } else {
    append_declared_parameters(*named);
  }
  append_explain_columns(*out_, {0, 0});
  return true;
}

/// The types that the client has said; where it leaves them to PostgreSQL, which isn't asked: text.
void ExplainBatch::append_declared_parameters(const Named& named) {
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
  pgwire::append_parameter_description(*out_, types);
}

bool ExplainBatch::execute(const ClientReader::Item& item) {
  const auto message = pgwire::decode_execute(item.body());
  if (!message || !message->portal.empty() || !portal_) return false;
  pipeline::Exchange exchange{.statement = portal_->statement, .started = given_.now, .first_byte = given_.now};
  exchange.bytes_in = portal_->bytes_in + item.total;
  const std::size_t before = out_->size();
  auto rows = std::span<const ExplainRows::value_type>(portal_->rows).subspan(portal_->sent);
  if (exchanges_.size() == most_executed) return false;
  const bool suspends = message->max_rows > 0 && static_cast<std::size_t>(message->max_rows) <= rows.size();
  if (suspends) rows = rows.first(static_cast<std::size_t>(message->max_rows));
  append_explain_rows(*out_, rows);
  portal_->sent += rows.size();
  if (suspends) {
    pgwire::append_portal_suspended(*out_);
  } else {
    pgwire::append_command_complete(*out_, explain_tag);
  }
  exchange.rows = rows.size();
  exchange.bytes_out = out_->size() - before;
  exchanges_.push_back(std::move(exchange));
  return true;
}

bool ExplainBatch::close(Bytes body) {
  const auto target = pgwire::decode_close(body);
  if (!target) return false;
  if (target->what == 'P') {
    if (!target->name.empty()) return false;
    portal_.reset();
    portal_changed_ = true;
  } else {
    if (closed_ || parsed_ || !find(target->name)) return false;
    closed_ = target->name;
  }
  pgwire::append_close_complete(*out_);
  return true;
}

/// All of it is answered: the session is as it would be.
void ExplainBatch::apply() {
  Reply done;  // nothing of it is under way
  auto& names = session_.names;
  if (closed_) names.close_statement(*closed_, done);
  if (parsed_) {
    auto text = writer_.text_of_parse(parsed_->query_and_types, parsed_->statement, !parsed_->name.empty());
    names.parse(parsed_->name, {parsed_->statement, std::move(text)}, done);
  }
  if (portal_changed_) names.unnamed_portal = portal_ ? portal_->statement : nullptr;
}

}  // namespace millrace::gateway
