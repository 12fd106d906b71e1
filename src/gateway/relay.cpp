#include "gateway/relay.hpp"

#include "base/clock.hpp"
#include "gateway/shrink.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/limits.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace

Relay::Relay(pipeline::Pipeline& pipeline, PreparedTexts& texts, Options options)
    : pipeline_(pipeline),
      options_(options),
      id_(next_id()),
      reader_(options.max_message),
      session_(options.mode == Mode::session,
               (options.rewriting && pipeline.rewrites() != nullptr) ||
                   wants_answers(pipeline.cache(), options.database, *options_.startup, options.level),
               replies_),
      writer_(texts, session_, replies_),
      scope_(pipeline.cache(), options.database, options.user, options_.startup, options.level,
             options.rewriting && pipeline.rewrites() != nullptr),
      seen_(now_ns()) {
  if (options_.executor != nullptr) {
    wishes_.emplace(*options_.executor, options_.user, options_.wishes ? options_.wishes : options_.startup);
  }
}

Relay::~Relay() {
  if (turn_) options_.executor->stop_waiting(*turn_, now_ns());
}

void Relay::detach() {
  end_turn();
  writer_.detach();
  waited_ns_ = 0;
}

bool Relay::idle() const {
  return replies_.nothing_under_way() && !replies_.copy_in && !replies_.skipping && replies_.status == 'I' &&
         session_.held_begin.empty() && !reader_.mid_message() && server_stream_left_ == 0;
}

const StatementPtr& Relay::too_long() {
  static const auto statement = sql::unparsed("the text is longer than MAX_PARSED_STATEMENT_KB");
  return statement;
}

void Relay::ended(Reply& reply) {
  if (reply.own()) return;
  last_ended_ = now_;
  if (permit_ && first_ended_.at == 0 && reply.exchange.statement && !reply.exchange.failed()) {
    first_ended_ = {.fingerprint = reply.exchange.statement->fingerprint, .at = now_};
  } else if (reply.exchange.failed() && reply.exchange.error_code() != "57014" && exceeded_.batch != reply.batch) {
    first_ended_.failed = true;
  }
  reply.exchange.text = reply.asked;
  reply.exchange.parameters = reply.parameters;
  record(reply.exchange, reply.limit.asked_for.get());
  note_cost(reply);
}

/// What was answered, or refused, at once.
void Relay::ended(const pipeline::Exchange& exchange) {
  record(exchange, wishes_ ? asked_for(exchange).get() : nullptr);
}

/// A statement's own text has no comments.
std::shared_ptr<const AskedFor> Relay::asked_for(const pipeline::Exchange& exchange) {
  const std::string_view text = exchange.text.empty() ? pipeline::text_of(exchange.sent) : exchange.text;
  return wishes_->asked_for(set_here(), text);
}

/// `asked_for`: null: nobody is named.
void Relay::record(const pipeline::Exchange& exchange, const AskedFor* asked_for) {
  pipeline::Caller caller{.user = options_.user, .database = options_.database, .application = application};
  if (asked_for != nullptr) {
    caller.user_id = asked_for->user_id;
    caller.project_id = asked_for->project_id;
  }
  pipeline_.ended(exchange, caller, now_);
}

void Relay::lost(std::int64_t now) {
  now_ = now;
  apply_changes(true, false);
  for (; replies_.front() != nullptr; replies_.pop()) {
    Reply& reply = *replies_.front();
    if (!reply.runs() || reply.hidden()) continue;
    if (!reply.failed && fatal_sqlstate_) reply.exchange.sqlstate = *fatal_sqlstate_;
    if (!reply.failed && !fatal_sqlstate_) reply.exchange.fail(error_.sqlstate.empty() ? "08006" : error_.sqlstate);
    ended(reply);
  }
}

void Relay::refused(Bytes in, std::string_view sqlstate, std::int64_t now) {
  now_ = now;
  const auto ends = [&](const BoundPortal& portal, std::size_t size, sql::StatementKind assumed,
                        std::string_view text = {}) {
    pipeline::Exchange exchange{.statement = portal.statement,
                                .assumed = assumed,
                                .started = now,
                                .waited = waited_ns_,
                                .text = text,
                                .sent = portal.sent,
                                .bytes_in = size};
    exchange.fail(sqlstate);
    ended(exchange);
  };
  using Kind = sql::StatementKind;
  const auto read = [this](std::string_view text) {
    auto statement = pipeline_.understand(text);
    return statement ? statement : too_long();
  };
  BoundPortal parsed, bound;
  while (in.size() >= header_size) {
    const auto header = pgwire::load_header(in);
    if (!header.valid() || frontend::max_length(header.type) == 0) return;
    const bool whole = in.size() >= header.total();
    const Bytes body = in.subspan(header_size, std::min(in.size(), header.total()) - header_size);
    switch (header.type) {
      case frontend::query: {
        const auto text = pgwire::decode_query(body);
        ends({text && whole ? read(*text) : too_long()}, header.total(), Kind::unparsed, text.value_or(""));
        break;
      }
      case frontend::parse: {
        const auto message = pgwire::decode_parse(body);
        parsed = {message && whole ? read(message->query) : too_long()};
        if (message && whole) parsed.sent = pipeline_.sent(message->query, *parsed.statement);
        break;
      }
      case frontend::bind:
        bound = parsed;
        if (const auto names = pgwire::bind_names(body); names && (!names->statement.empty() || !parsed.statement)) {
          const Prepared* const prepared = session_.names.find(names->statement);
          if (prepared != nullptr) bound = {prepared->statement, prepared->sent};
        }
        break;
      case frontend::execute:
        ends(bound, header.total(), Kind::fetch);
        break;
      case frontend::function_call:
        ends({}, header.total(), Kind::call);
        break;
      default:
        break;
    }
    if (!whole) return;
    in = in.subspan(header.total());
  }
}

std::string Relay::ending() { return reader_.mid_message() ? "" : writer_.end_what_is_under_way(now_); }

std::size_t Relay::give_back_memory() {
  const auto give = [](std::string& text) {
    text.clear();
    return shrink(text);
  };
  return give(to_server_.buffer()) + give(to_client_.buffer()) + give(answers_) + give(instead_) +
         give(bound_parameters_) + shrink(to_parse_) + unanswered_.give_back_memory() + replies_.give_back_memory() +
         session_.names.give_back_memory() + session_.settings.give_back_memory() + writer_.give_back_memory();
}

}  // namespace millrace::gateway
