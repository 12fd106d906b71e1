// What of the relay isn't let in, or takes too long: what its client is told, and what the server is.
#include <fmt/format.h>

#include "gateway/relay.hpp"
#include "gateway/tidying_answer.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using Step = sql::TransactionStep;
using What = sql::SessionChange::What;

constexpr double ms = 1'000'000;
/// A server that has been told to cancel may take so long to do it.
constexpr std::int64_t longest_cancel = 10'000'000'000;

/// What QUERY_TIMEOUT_SECONDS and MEMORY_LIMIT_PER_QUERY_MB are about: not what takes long, or much memory, by its
/// nature, such as COPY, CREATE INDEX or VACUUM.
bool is_query(sql::StatementKind kind) {
  using enum sql::StatementKind;
  constexpr std::uint32_t kinds = sql::bit(select) | sql::bit(insert) | sql::bit(update) | sql::bit(delete_) |
                                  sql::bit(merge) | sql::bit(execute) | sql::bit(fetch);
  return (kinds & sql::bit(kind)) != 0;
}

std::string_view name_of(Limit::By by) {
  constexpr std::array<std::string_view, 3> names = {"QUERY_TIMEOUT_SECONDS", "millrace.timeout",
                                                     "the quota's max_execution_time_seconds"};
  return names.at(static_cast<std::size_t>(by));
}

Error refusal_of(const executor::WaitingQuery& turn, const executor::AdaptiveQueryExecutor::Limits& limits) {
  using enum executor::Refused;
  switch (turn.why()) {
    case queue_full:
      return {.message = fmt::format("too many queries wait: {}", limits.most_waiting),
              .sqlstate = "53400",
              .hint = "MAX_QUEUED_QUERIES is the limit. Try again in a moment, or with a higher millrace.priority."};
    case no_queue:
      return {.message = fmt::format("too many queries run: {}", limits.most),
              .sqlstate = "53400",
              .hint =
                  "MAX_CONCURRENT_QUERIES and POOL_SIZE are the limits, and none may wait, as ENABLE_QUERY_QUEUEING is "
                  "off."};
    case quota:  // it isn't queued
      break;
    case overload:
      return {.message = fmt::format("the query would wait too long for its turn{}",
                                     turn.wanted().places ? " and a server connection" : ""),
              .sqlstate = "53000",
              .hint =
                  "As many wait already as get their turns in the time that it has. Try again later, or with a higher "
                  "millrace.priority."};
  }
  return {};
}

}  // namespace

/// By the circuit breaker.
Error Relay::out_of_reach() const {
  Error why = options_.breaker->refuse(now_);
  why.sqlstate = server_out_of_reach;
  return why;
}

Error Relay::why_not_let_in(Waited how, const executor::WaitingQuery& turn, std::int64_t waited) const {
  const auto& executor = *options_.executor;
  const auto limits = executor.limits();
  const bool lacks_place = turn.wanted().places && !turn.wanted().places->any();
  switch (how) {
    case Waited::ended:
      return refusal_of(turn, limits);
    case Waited::too_long:
      if (lacks_place) {
        return {.message = fmt::format("all server connections are in use; waited {:.0f} ms for one",
                                       static_cast<double>(waited) / ms),
                .sqlstate = "53300",
                .hint = "Raise POOL_SIZE, shorten transactions, or use POOL_MODE = \"transaction\"."};
      }
      return {
          .message = fmt::format("the query waited {:.0f} ms for its turn", static_cast<double>(waited) / ms),
          .sqlstate = "53300",
          .hint = fmt::format("POOL_WAIT_TIMEOUT_SECONDS is the limit. At present {} queries may run at a time, and {} "
                              "at most, by MAX_CONCURRENT_QUERIES and POOL_SIZE.",
                              executor.limit(), limits.most)};
    case Waited::timed_out: {
      Error error = timed_out(wanted_limit_);
      error.hint = fmt::format("All of that it waited for {}.", lacks_place ? "a server connection" : "its turn");
      return error;
    }
    case Waited::cancelled:
      return {.message = "canceling statement due to user request", .sqlstate = "57014"};
    case Waited::no_server:
      return out_of_reach();
    case Waited::long_enough:
    case Waited::in_vain:
      break;
  }
  return {.message = "nobody waits any more", .sqlstate = "57014"};
}

Error Relay::exceeds(const executor::Exceeded& exceeded) {
  constexpr double second = 1e9;
  return {
      .message = fmt::format("the {}'s quota of {} queries {} is used up", exceeded.is_of_project ? "project" : "user",
                             exceeded.limit, exceeded.window == executor::Window::hour ? "an hour" : "a day"),
      .sqlstate = "53400",
      .hint = fmt::format("None is left; it resets in {:.0f} s. GET /api/v1/execution/resource-quota/ shows it.",
                          static_cast<double>(exceeded.resets_in) / second)};
}

/// The message at hand, which is the first of its batch; nothing is owed for any before. `statement`: null: not known.
void Relay::refuse(Error error, const StatementPtr& statement, pipeline::SentText sent) {
  pipeline::Exchange exchange{
      .statement = statement, .started = now_, .waited = std::exchange(waited_ns_, 0), .sent = std::move(sent)};
  exchange.fail(error.sqlstate);
  ended(exchange);
  failed_here_ = failed_here_ || !session_.held_begin.empty();
  refusal_ = Refusal{.error = std::move(error)};
}

/// None can be had at present.
bool Relay::has_no_server() const {
  return !writer_.attached() && (no_server_ || (options_.breaker && options_.breaker->refuses()));
}

/// The message at hand needs a server connection, and there is none. `stop_`, if it must be parsed first.
bool Relay::is_out_of_reach(const Item& item) {
  if (!has_no_server()) return false;
  StatementPtr statement;
  const std::string_view text = text_asked(item, statement);
  if (stop_ == Next::parse) return true;
  Error error = no_server_ ? *std::exchange(no_server_, std::nullopt) : out_of_reach();
  if (is_charged_) options_.executor->take_back(*wishes_of(text).party);
  refuse(std::move(error), statement, sent_asked(item, text, statement));
  return true;
}

/// There is no server connection, nor is one needed: what belongs to a COPY that was refused, or has failed, is
/// ignored, as PostgreSQL does. Nor for a text by which pools tidy up a connection, if there is nothing to tidy and
/// none can be had; while the circuit breaker is open, or the pool has none left, for an empty one, too, by which
/// drivers see whether a connection is alive.
bool Relay::needs_no_server(const Item& item) {
  if (writer_.attached()) return false;
  switch (item.type) {
    case frontend::copy_data:
    case frontend::copy_done:
    case frontend::copy_fail:
    case frontend::flush:
      return true;
    case frontend::query:
      return answer_idle_query(item);
    default:
      return false;
  }
}

/// It is empty, or only tidies up where there is nothing to tidy.
bool Relay::answer_idle_query(const Item& item) {
  auto statement = statement_of(item);
  if (!statement || !item.whole()) return false;
  const std::size_t before = answers_.size();
  if (statement->kind == sql::StatementKind::empty) {
    const bool is_full = options_.places && !options_.places->any();
    if (!is_full && (!options_.breaker || !options_.breaker->refuses())) return false;
    pgwire::append_empty_query_response(answers_);
  } else {
    const bool forgets =
        std::ranges::find(statement->changes, What::discard_all, &sql::SessionChange::what) != statement->changes.end();
    if (!has_no_server() || (forgets && !session_.names.statements.empty()) || !is_untouched() ||
        !append_tidying_answer(answers_, pgwire::decode_query(item.body()).value_or("")))
      return false;
  }
  session_.names.unnamed.reset();
  session_.names.unnamed_portal = {};
  pgwire::append_ready_for_query(answers_, status_here());
  ended({.statement = std::move(statement),
         .started = now_,
         .first_byte = now_,
         .bytes_in = item.total,
         .bytes_out = answers_.size() - before});
  return true;
}

/// The message at hand, or what follows one in the same batch.
void Relay::answer_refused(const Item& item) {
  const bool first = !std::exchange(refusal_->told, true);
  if (first) {
    refusal_->to_sync = item.type != frontend::query && item.type != frontend::function_call;
    pgwire::append_error_response(answers_, "ERROR", refusal_->error);
  }
  if (refusal_->to_sync && item.type != frontend::sync) return;
  pgwire::append_ready_for_query(answers_, failed_here_ ? 'E' : replies_.status);
  refusal_.reset();
}

/// In a transaction that has failed for its client while the server knows nothing of it. As in PostgreSQL nothing of
/// what follows is done before its end. What isn't plain is sent: the server then has a transaction that has failed.
Relay::Decided Relay::answer_failed(const Item& item) {
  if (item.type == frontend::sync) pgwire::append_ready_for_query(answers_, 'E');
  if (!asks_for_work(item.type)) return Decided::answered;
  const bool is_query = item.type == frontend::query;
  const bool is_too_long = item.total - 1 > pipeline_.limits().max_bytes;
  if (!is_query && item.type != frontend::parse && item.type != frontend::bind) return Decided::send;
  if (!item.whole() && !is_too_long) return Decided::wait;
  StatementPtr statement = is_query ? statement_of(item) : nullptr;
  const std::string_view text = item.whole() && stop_ != Next::parse ? text_asked(item, statement) : "";
  if (stop_ == Next::parse) return Decided::wait;
  if (!statement || statement->kind == sql::StatementKind::unparsed) return Decided::send;
  if (is_query && statement->kind == sql::StatementKind::empty) {
    pgwire::append_empty_query_response(answers_);
    pgwire::append_ready_for_query(answers_, 'E');
    return Decided::answered;
  }
  if (statement->steps.empty()) {
    refuse({.message = "current transaction is aborted, commands ignored until end of transaction block",
            .sqlstate = "25P02"},
           statement, sent_asked(item, text, statement));
    return Decided::send;
  }
  const bool is_end = statement->statements == 1 && statement->steps.size() == 1 &&
                      (statement->steps.front() == Step::commit || statement->steps.front() == Step::rollback);
  if (!is_query || !is_end) return Decided::send;
  failed_here_ = false;
  session_.held_begin.clear();
  session_.read_in_held_begin = false;
  session_.names.portals.clear();
  session_.names.unnamed.reset();
  session_.names.unnamed_portal = {};
  const std::size_t before = answers_.size();
  pgwire::append_command_complete(answers_, "ROLLBACK");
  pgwire::append_ready_for_query(answers_, 'I');
  ended({.statement = std::move(statement),
         .started = now_,
         .first_byte = now_,
         .bytes_in = item.total,
         .bytes_out = answers_.size() - before});
  return Decided::answered;
}

/// `statement`: null: not known.
Limit Relay::limit_of(const Wishes& wishes, const StatementPtr& statement) const {
  Limit limit{.of_query = statement && is_query(statement->kind),
              .quota_mb = wishes.party->most_memory_mb(),
              .asked_for = wishes.asked_for};
  if (wishes.timeout.count() > 0) {
    limit.ns = std::chrono::nanoseconds(wishes.timeout).count();
    limit.by = Limit::By::client;
  } else if (limit.of_query) {
    limit.ns = options_.query_timeout.count();
  }
  const auto most = std::chrono::nanoseconds(std::chrono::seconds(wishes.party->most_seconds())).count();
  if (most != 0 && (limit.ns == 0 || most < limit.ns)) {
    limit.ns = most;
    limit.by = Limit::By::quota;
  }
  return limit;
}

Limit Relay::limit_of(std::string_view text, const StatementPtr& statement) {
  if (wishes_) return limit_of(wishes_of(text), statement);
  return {.of_query = statement && is_query(statement->kind)};
}

std::string Relay::took_longer(const Limit& limit) {
  return fmt::format("took longer than the {:.0f} ms of {}", static_cast<double>(limit.ns) / ms, name_of(limit.by));
}

Error Relay::timed_out(const Limit& limit) {
  return {.message = "canceling statement as it " + took_longer(limit), .sqlstate = "57014"};
}

/// Behind others it has been waiting for them.
std::int64_t Relay::runs_since(const Reply& reply) const {
  return std::max(reply.exchange.started - reply.exchange.waited, last_ended_);
}

/// What the server is at, or is to come to next: of what only prepares for it, the answers come with its own. Null:
/// nothing.
const Reply* Relay::runs_now() const {
  const auto owed = replies_.all();
  const auto found = std::ranges::find_if(owed, [](const Reply& reply) { return reply.runs(); });
  return found == owed.end() ? nullptr : &*found;
}

Relay::Late Relay::exceeds(std::int64_t now) {
  const Reply* const reply = runs_now();
  if (reply == nullptr) return Late::no;
  if (exceeded_.number != reply->number) {
    if (reply->limit.ns == 0 || now - runs_since(*reply) < reply->limit.ns) return Late::no;
    exceeded_ = {.number = reply->number, .batch = reply->batch, .since = now, .how = took_longer(reply->limit)};
  }
  const auto owed = replies_.all();
  const auto last = std::find_if_not(owed.rbegin(), owed.rend(), std::mem_fn(&Reply::own));
  if (last != owed.rend() && last->batch != reply->batch) return Late::ends_session;
  return now - exceeded_.since > longest_cancel ? Late::too_late : Late::late;
}

std::optional<Relay::Watched> Relay::watched() const {
  const Reply* const reply = runs_now();
  if (reply == nullptr || exceeded_.number == reply->number) return std::nullopt;
  return Watched{.since = std::max(reply->exchange.started, last_ended_),
                 .is_query = reply->limit.of_query,
                 .quota_mb = reply->limit.quota_mb};
}

void Relay::uses_too_much(std::size_t megabytes, std::string_view limit, std::int64_t now) {
  const Reply& reply = *runs_now();
  exceeded_ = {.number = reply.number,
               .batch = reply.batch,
               .since = now,
               .how = fmt::format("used more than the {} MB of memory that {} allows", megabytes, limit),
               .sqlstate = "53200"};
  server().tainted = true;  // who has it next isn't to answer for what its process has kept
}

Error Relay::exceeded() const {
  return {.message = "canceling statement as it " + exceeded_.how, .sqlstate = exceeded_.sqlstate};
}

Error Relay::ended_for_exceeding() const {
  return {.message = "terminating connection as a statement " + exceeded_.how,
          .sqlstate = exceeded_.sqlstate,
          .hint = "More was sent behind it, whose outcome is not known."};
}

bool Relay::still_exceeds() const {
  const Reply* const reply = runs_now();
  return reply != nullptr && reply->number == exceeded_.number;
}

/// An error of a cancelled statement: of the one that took too much, or of one that the same batch holds behind it.
void Relay::say_that_it_exceeded(Reply& reply) {
  if (exceeded_.number == 0 || exceeded_.batch != reply.batch) return;
  pgwire::append_error_response(instead_, "ERROR", exceeded());
  reply.exchange.fail(exceeded_.sqlstate);
}

std::int64_t Relay::limit_at() const {
  const Reply* const reply = runs_now();
  return reply == nullptr || reply->limit.ns == 0 ? 0 : runs_since(*reply) + reply->limit.ns;
}

std::int64_t Relay::clients_limit_at() const {
  const Reply* const reply = runs_now();
  return reply != nullptr && reply->limit.by == Limit::By::client ? limit_at() : 0;
}

}  // namespace millrace::gateway
