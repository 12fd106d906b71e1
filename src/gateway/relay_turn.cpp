// What of the relay waits for the executor.
#include <fmt/format.h>

#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using State = executor::WaitingQuery::State;

/// A transaction in which nothing has happened for so long gives its slot to others.
constexpr std::int64_t lent_after = 1'000'000'000;
constexpr double ms = 1'000'000;

/// Whether it makes the server work; what only ends or goes on with something doesn't.
bool asks_for_work(char type) {
  switch (type) {
    case frontend::query:
    case frontend::parse:
    case frontend::bind:
    case frontend::describe:
    case frontend::execute:
    case frontend::close:
    case frontend::function_call:
      return true;
    default:
      return false;
  }
}

/// What takes the server no time, and a client that is about to ask for something goes on with.
bool takes_no_time(const sql::Statement& statement) {
  using enum sql::StatementKind;
  const auto begins = [](sql::TransactionStep step) { return step == sql::TransactionStep::begin; };
  if (statement.kind == transaction) return std::ranges::none_of(statement.steps, begins);
  constexpr std::uint32_t kinds =
      sql::bit(set) | sql::bit(show) | sql::bit(deallocate) | sql::bit(discard) | sql::bit(unlisten) | sql::bit(empty);
  return (kinds & sql::bit(statement.kind)) != 0;
}

/// What QUERY_TIMEOUT_SECONDS is about: not what takes long by its nature, such as COPY, CREATE INDEX or VACUUM.
bool is_query(sql::StatementKind kind) {
  using enum sql::StatementKind;
  constexpr std::uint32_t kinds = sql::bit(select) | sql::bit(insert) | sql::bit(update) | sql::bit(delete_) |
                                  sql::bit(merge) | sql::bit(execute) | sql::bit(fetch);
  return (kinds & sql::bit(kind)) != 0;
}

Error refusal_of(executor::Refused why, const executor::AdaptiveQueryExecutor::Limits& limits, std::int64_t waited) {
  using enum executor::Refused;
  switch (why) {
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
    case overload:
      return {.message = fmt::format("the query was given up after it had waited {:.0f} ms for its turn",
                                     static_cast<double>(waited) / ms),
              .sqlstate = "53000",
              .hint =
                  "All queries have waited too long for a while, so those of the lowest priority are given up. Try "
                  "again later, or with a higher millrace.priority."};
  }
  return {};
}

}  // namespace

/// Nothing is under way: the slot would be held for nothing.
bool Relay::rests() const {
  return replies_.nothing_under_way() && replies_.status == 'I' && !replies_.copy_in && !replies_.skipping &&
         !reader_.mid_message();
}

void Relay::end_turn() {
  if (!permit_) return;
  const auto [fingerprint, at] = std::exchange(first_ended_, {});
  std::optional<int> size;
  if (at != 0) size = options_.times->note(fingerprint, at - permit_.since(), now_);
  permit_.give_back(now_, size);
}

/// The text that the message at hand, or what follows it, runs; "": not known. The statement likewise.
std::string_view Relay::text_asked(const Item& item, StatementPtr& statement) {
  switch (item.type) {
    case frontend::query:
      statement = understood_;
      return item.whole() ? pgwire::decode_query(item.body()).value_or("") : "";
    case frontend::parse: {
      if (!item.whole()) return "";
      const auto parse = pgwire::decode_parse(item.body());
      if (!parse) return "";
      if (session_.settings.reads_plainly(parse->query)) statement = pipeline_.understand(parse->query);
      return parse->query;
    }
    case frontend::bind: {
      const auto names = pgwire::bind_names(item.body());
      const Prepared* const prepared = names ? session_.names.find(names->statement) : nullptr;
      if (prepared != nullptr) statement = prepared->statement;
      return text_of_prepared(prepared);
    }
    default:
      return "";
  }
}

/// "": not known.
std::string_view Relay::text_of_prepared(const Prepared* prepared) {
  if (prepared == nullptr || !prepared->text) return "";
  const std::string_view text = prepared->text->query_and_types;
  return text.substr(0, text.find('\0'));
}

const Wishes& Relay::wishes_of(std::string_view text) {
  return wishes_->of(session_.moves ? session_.settings.current() : here_, text);
}

/// False: the message at hand has to wait for its turn. What goes on with a transaction, or with a batch, has it.
bool Relay::has_turn(const Item& item) {
  if (!wishes_ || permit_ || !asks_for_work(item.type)) return true;
  StatementPtr statement;
  const std::string_view text = text_asked(item, statement);
  const auto& wishes = wishes_of(text);
  const bool goes_on = !rests() || (statement && takes_no_time(*statement));
  auto& executor = *options_.executor;
  permit_ = goes_on ? executor.take_anyway(wishes.party, now_) : executor.try_take(wishes.party, now_);
  first_ended_ = {};
  if (permit_) return true;
  wanted_ = wishes;
  wanted_limit_ = limit_of(text, statement);
  asked_for_turn_ = std::move(statement);
  stop_ = Next::turn;
  return false;
}

void Relay::wait_for_turn(std::function<void()> then, std::int64_t now) {
  const std::int64_t predicted = asked_for_turn_ ? options_.times->mean(asked_for_turn_->fingerprint) : 0;
  turn_ = options_.executor->wait({.party = wanted_.party, .priority = wanted_.priority, .predicted = predicted},
                                  std::move(then), now);
}

bool Relay::end_wait_for_turn(Waited how, std::int64_t now) {
  now_ = now;
  const auto turn = std::exchange(turn_, nullptr);
  auto& executor = *options_.executor;
  const std::int64_t waited = now - turn->since();
  waited_ns_ += waited;
  const bool let_in = turn->state() == State::let_in && how == Waited::ended;
  if (let_in) {
    permit_ = executor.take(*turn, now);
    return true;
  }
  const auto limits = executor.limits();
  Error error = turn->state() == State::refused ? refusal_of(turn->why(), limits, waited) : Error();
  if (how == Waited::too_long) {
    error = {
        .message = fmt::format("the query waited {:.0f} ms for its turn", static_cast<double>(waited) / ms),
        .sqlstate = "53300",
        .hint = fmt::format("POOL_WAIT_TIMEOUT_SECONDS is the limit. At present {} queries may run at a time, and {} "
                            "at most, by MAX_CONCURRENT_QUERIES and POOL_SIZE.",
                            executor.limit(), limits.most)};
  } else if (how == Waited::timed_out) {
    error = timed_out(wanted_limit_);
    error.hint = "All of that it waited for its turn.";
  } else if (how == Waited::cancelled) {
    error = {.message = "canceling statement due to user request", .sqlstate = "57014"};
  }
  executor.stop_waiting(*turn, now);
  if (how == Waited::cancelled && !session_.held_begin.empty()) {
    permit_ = executor.take_anyway(wanted_.party, now);
    return true;
  }
  if (how == Waited::in_vain) error = {.message = "nobody waits any more", .sqlstate = "57014"};
  pipeline::Exchange exchange{.statement = asked_for_turn_, .started = now, .waited = std::exchange(waited_ns_, 0)};
  exchange.fail(error.sqlstate);
  ended(exchange);
  // Of what follows it is certain that it isn't done either only if the server has the transaction.
  if (!session_.held_begin.empty() || how == Waited::in_vain) {
    error_ = std::move(error);
    return false;
  }
  refuse(std::move(error));
  return true;
}

void Relay::refuse(Error error) { refusal_ = Refusal{.error = std::move(error)}; }

/// The message at hand, or what follows one in the same batch.
void Relay::answer_refused(const Item& item) {
  const bool first = !std::exchange(refusal_->told, true);
  if (first) {
    refusal_->to_sync = item.type != frontend::query && item.type != frontend::function_call;
    pgwire::append_error_response(answers_, "ERROR", refusal_->error);
  }
  if (refusal_->to_sync && item.type != frontend::sync) return;
  pgwire::append_ready_for_query(answers_, replies_.status);
  refusal_.reset();
}

/// `statement`: null: not known.
TimeLimit Relay::limit_of(std::string_view text, const StatementPtr& statement) {
  if (!wishes_) return {};
  const auto clients = wishes_of(text).timeout;
  if (clients.count() > 0) return {.ns = std::chrono::nanoseconds(clients).count(), .is_clients = true};
  if (!statement || !is_query(statement->kind)) return {};
  return {.ns = options_.query_timeout.count()};
}

Error Relay::timed_out(const TimeLimit& limit) {
  const auto milliseconds = static_cast<double>(limit.ns) / ms;
  return {.message = fmt::format("canceling statement as it took longer than the {:.0f} ms of {}", milliseconds,
                                 limit.is_clients ? "millrace.timeout" : "QUERY_TIMEOUT_SECONDS"),
          .sqlstate = "57014"};
}

/// Behind others it has been waiting for them.
std::int64_t Relay::runs_since(const Reply& reply) const {
  return std::max(reply.exchange.started - reply.exchange.waited, last_ended_);
}

/// What the server is at, or is to come to next: of what only prepares for it, the answers come with its own. Null:
/// nothing.
Reply* Relay::runs_now() {
  const auto owed = replies_.all();
  const auto found = std::ranges::find_if(owed, [](const Reply& reply) { return reply.runs(); });
  return found == owed.end() ? nullptr : &*found;
}

std::optional<std::int64_t> Relay::time_out(std::int64_t now) {
  Reply* const reply = runs_now();
  if (reply == nullptr || reply->limit.ns == 0) return std::nullopt;
  const std::int64_t over = now - runs_since(*reply) - reply->limit.ns;
  if (over < 0) return std::nullopt;
  reply->timed_out = true;
  return over;
}

std::int64_t Relay::clients_limit_at() {
  const Reply* const reply = runs_now();
  return reply == nullptr || !reply->limit.is_clients ? 0 : runs_since(*reply) + reply->limit.ns;
}

void Relay::lend_turn(std::int64_t now) {
  if (!permit_ || !replies_.empty() || replies_.copy_in || reader_.mid_message() || now - seen_ < lent_after) return;
  now_ = now;
  end_turn();
}

/// What a client that stays on its server connection says of how its queries are to run. A ROLLBACK doesn't undo it.
void Relay::note_wishes(const sql::Statement& statement) {
  using What = sql::SessionChange::What;
  auto next = here_ ? *here_ : backend::Settings{};
  for (const auto& change : statement.changes) {
    const bool all = change.what == What::reset_all || change.what == What::discard_all;
    const bool one = (change.what == What::set || change.what == What::reset) && change.name.starts_with("millrace.");
    if (!all && !one) continue;
    std::erase_if(next, [&](const auto& kept) { return all || kept.name == change.name; });
    if (change.what == What::set) next.push_back({change.name, change.text});
  }
  if (next != (here_ ? *here_ : backend::Settings{}))
    here_ = std::make_shared<const backend::Settings>(std::move(next));
}

}  // namespace millrace::gateway
