// What of the relay waits for the executor: whose turn it is.
//
// A turn is for a batch outside of a transaction, or for a transaction: what goes on with either has it. Behind a batch
// nothing is sent before it is answered where somebody waits, so that what comes next asks for a turn of its own, and
// where its client has limited its time, so that whatever the server is told to cancel is what it was meant to be.
#include "gateway/relay.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pipeline/tidying.hpp"

namespace millrace::gateway {
namespace {

namespace frontend = pgwire::frontend;
using Step = sql::TransactionStep;

/// A client that does nothing in its transaction for so long gives its slot to others: it thinks, or is waited for
/// itself.
constexpr std::int64_t lent_after = 20'000'000;
/// Who has sent a part of what the server is to know, and sends less than so much between two looks, is waited for.
constexpr std::uint64_t least_sent = 64 * 1024;
/// So long nothing comes of a batch that isn't ended: the server is asked how far it is.
constexpr std::int64_t flushed_after = 1'000'000'000;
/// Where nobody waits, a client may send so many messages ahead with one turn.
constexpr std::size_t most_ahead = 128;
/// A session that may hold locks which those that have turns wait for waits for its own so long.
constexpr std::int64_t longest_with_locks = 100'000'000;
/// Of `FirstEnded`: what the first statement took isn't known.
constexpr std::int64_t not_known = -1;

/// What takes the server no time, and a client that is about to ask for something goes on with.
bool takes_no_time(const sql::Statement& statement) {
  using enum sql::StatementKind;
  if (pipeline::only_tidies(statement)) return true;
  if (statement.statements > 1) return false;
  if (statement.kind == transaction) return std::ranges::find(statement.steps, Step::begin) == statement.steps.end();
  constexpr std::uint32_t kinds =
      sql::bit(set) | sql::bit(show) | sql::bit(deallocate) | sql::bit(discard) | sql::bit(unlisten) | sql::bit(empty);
  return (kinds & sql::bit(statement.kind)) != 0;
}

/// COMMIT PREPARED and ROLLBACK PREPARED: what waits for their locks may have turns. Each is alone in its batch.
bool ends_prepared_transaction(const sql::Statement& statement) {
  return statement.statements == 1 && statement.steps.size() == 1 && statement.steps.front() == Step::other;
}

executor::Priority boosted(executor::Priority priority, int boost) {
  const int highest = static_cast<int>(executor::priority_names.size());
  return static_cast<executor::Priority>(std::clamp(static_cast<int>(priority) + boost, 1, highest));
}

}  // namespace

bool Relay::asks_for_work(char type) {
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

/// Nothing is under way: the slot would be held for nothing.
bool Relay::rests() const {
  return replies_.nothing_under_way() && replies_.status == 'I' && !replies_.copy_in && !replies_.skipping &&
         !reader_.mid_message();
}

/// What comes next was let in with what came before it. `statement`: what it runs; null: not known.
bool Relay::goes_on(const StatementPtr& statement) const {
  const bool only_ends = failed_here_ && statement && statement->statements == 1 && !statement->steps.empty();
  return replies_.unsynced || replies_.skipping || replies_.copy_in || replies_.status != 'I' || had_turn_ || only_ends;
}

/// It ends what others that have turns may wait for, so it is never refused, and no quota counts it. Of a function of
/// the user's that does so nothing is known: then `longest_with_locks` helps.
bool Relay::releases_locks(const StatementPtr& statement, std::string_view text) const {
  return (may_hold_locks_ && text.contains("pg_advisory_unlock")) ||
         (statement && ends_prepared_transaction(*statement));
}

/// For the turn that this has, or for its server connection.
bool Relay::others_wait() const {
  return options_.executor->anybody_waits() || (session_.moves && options_.places && options_.places->wanted());
}

std::int64_t Relay::goes_on_anyway_at() const {
  return turn_ && may_hold_locks_ ? turn_->since() + longest_with_locks : 0;
}

/// Before its turn begins. Counting who holds it is left out where that is who had the last one, as it is a write that
/// all cores share.
executor::Party& Relay::keep(const std::shared_ptr<executor::Party>& party) {
  if (party_ != party) party_ = party;
  return *party_;
}

void Relay::end_turn() {
  is_lent_ = false;
  if (!permit_) return;
  const auto [fingerprint, at, failed] = std::exchange(first_ended_, {});
  if (at > 0) return permit_.give_back(now_, options_.times->note(fingerprint, at - permit_.since(), now_));
  permit_.give_back(now_, failed ? executor::Permit::End::failed : executor::Permit::End::unused);
}

void Relay::give_turn_back(std::int64_t now) {
  now_ = now;
  end_turn();
}

void Relay::lend_turn(std::int64_t now, bool is_unread) {
  const bool is_slow = is_amid_sending() && std::exchange(heard_, 0) < least_sent;
  const bool was_slow = std::exchange(is_slow_, is_slow);
  if (!permit_ || !writer_.attached() || (!is_unread && !(was_slow && is_slow))) return lend_idle_turn(now);
  lend(now);
}

void Relay::lend_idle_turn(std::int64_t now) {
  if (is_idle_with_turn() && now - now_ >= lent_after) lend(now);
}

bool Relay::is_idle_with_turn() const {
  return permit_ && writer_.attached() && replies_.empty() && !reader_.mid_message();
}

std::int64_t Relay::lends_at() const { return is_idle_with_turn() && others_wait() ? now_ + lent_after : 0; }

void Relay::lend(std::int64_t now) {
  now_ = now;
  end_turn();
  is_lent_ = true;
}

/// The server has nothing to do but to take what comes.
bool Relay::is_amid_sending() const {
  const auto owed = replies_.all();
  return replies_.copy_in ||
         (reader_.mid_message() && !owed.empty() && std::ranges::none_of(owed.first(owed.size() - 1), &Reply::runs));
}

/// The message at hand, or the data of COPY, has come, or comes as quickly as is worth a turn.
void Relay::go_on_with_lent_turn() {
  if (!is_amid_sending() || heard_ >= least_sent) take_turn_again();
}

bool Relay::wants_flush(std::int64_t now) {
  const bool is_open = replies_.unsynced && !replies_.empty() && !replies_.copy_in && !replies_.skipping;
  if (!wishes_ || !is_open || reader_.mid_message() || now - now_ < flushed_after) return false;
  const std::uint64_t last = replies_.back().number;
  return std::exchange(flushed_to_, last) != last;
}

/// It goes on.
void Relay::take_turn_again() {
  is_lent_ = false;
  permit_ = options_.executor->take_anyway(*party_, now_);
  first_ended_ = {.fingerprint = 0, .at = not_known};
}

/// The text that the message at hand, or what follows it, runs; "": not known. The statement likewise. `stop_`, if it
/// must be parsed first.
std::string_view Relay::text_asked(const Item& item, StatementPtr& statement) {
  switch (item.type) {
    case frontend::query:
      statement = understood_;
      return item.whole() ? pgwire::decode_query(item.body()).value_or("") : "";
    case frontend::parse: {
      if (!item.whole() || item.total - 1 > pipeline_.limits().max_bytes) return "";
      const auto parse = pgwire::decode_parse(item.body());
      if (!parse) return "";
      statement = understand(parse->query);
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

/// Of what `text_asked` answers this for, for a record.
pipeline::SentText Relay::sent_asked(const Item& item, std::string_view text, const StatementPtr& statement) {
  if (item.type != frontend::bind) return statement ? pipeline_.sent(text, *statement) : nullptr;
  const auto names = pgwire::bind_names(item.body());
  const Prepared* const prepared = names ? session_.names.find(names->statement) : nullptr;
  return prepared != nullptr ? prepared->sent : nullptr;
}

/// "": not known.
std::string_view Relay::text_of_prepared(const Prepared* prepared) {
  if (prepared == nullptr) return "";
  if (!prepared->text) return pipeline::text_of(prepared->sent);
  const std::string_view text = prepared->text->query_and_types;
  return text.substr(0, text.find('\0'));
}

const Wishes& Relay::wishes_of(std::string_view text) { return wishes_->of(set_here(), text); }

/// What the client has set.
const std::shared_ptr<const backend::Settings>& Relay::set_here() const {
  return session_.moves ? session_.settings.current() : here_;
}

/// The one before isn't answered yet.
bool Relay::follows_a_batch() const {
  return !replies_.unsynced && !replies_.empty() && !replies_.copy_in && !replies_.skipping;
}

bool Relay::must_be_answered_before() const {
  if (!follows_a_batch()) return false;
  const bool is_counted = permit_ && permit_.party().has_account();  // each by itself
  if (!permit_ || is_counted || others_wait() || replies_.size() >= most_ahead) return true;
  return std::ranges::any_of(replies_.all(), [](const Reply& reply) { return reply.limit.by != Limit::By::setting; });
}

void Relay::set_limit(Reply& reply, const Limit& limit) {
  reply.limit = limit;
  if (limit.by == Limit::By::client) last_limited_ = reply.number;
}

/// Likewise in a batch: a statement that its client has limited is to be told from what follows it.
bool Relay::follows_a_limited_one(char type) const {
  if (!wishes_ || !asks_for_work(type) || replies_.copy_in || replies_.skipping || replies_.empty()) return false;
  return last_limited_ != 0 && replies_.all().front().number <= last_limited_;
}

/// False: the message at hand isn't sent now: `stop_` or `refusal_` says why. `rest`: from it on, as far as it is
/// there.
bool Relay::has_turn(pgwire::Bytes rest, const Item& item) {
  if (!wishes_ || !asks_for_work(item.type)) return true;
  if (must_be_answered_before()) return settle();
  if (permit_ || (item.type == frontend::close && only_closes(rest))) return true;
  const bool is_text = item.type == frontend::query || item.type == frontend::parse;
  if (is_text && !item.whole() && item.total - 1 <= pipeline_.limits().max_bytes) return true;  // nor is it taken now
  StatementPtr statement;
  const std::string_view text = text_asked(item, statement);
  if (stop_ == Next::parse) return false;
  const auto& wishes = wishes_of(text);
  wanted_limit_ = limit_of(wishes, statement);
  if (asked_at_ == 0) asked_at_ = now_;
  if (had_turn_ && wanted_limit_.ns != 0 && now_ - asked_at_ >= wanted_limit_.ns) {
    Error error = timed_out(wanted_limit_);
    error.hint = "All of that it waited for its turn and a server connection.";
    if (is_charged_) options_.executor->take_back(*wishes.party);
    refuse(std::move(error), statement, sent_asked(item, text, statement));
    return false;
  }
  if (item.type == frontend::query && statement && takes_no_time(*statement)) return had_turn_ = true;
  auto& executor = *options_.executor;
  if (goes_on(statement) || releases_locks(statement, text)) {
    permit_ = executor.take_anyway(keep(wishes.party), now_);
  } else if (const auto exceeded = executor.charge(*wishes.party, now_)) {
    refuse(exceeds(*exceeded), statement, sent_asked(item, text, statement));
    return false;
  } else {
    is_charged_ = true;
    permit_ = executor.try_take(keep(wishes.party), writer_.attached() ? nullptr : options_.places.get(), now_);
  }
  is_lent_ = false;
  first_ended_ = {};
  had_turn_ = static_cast<bool>(permit_);
  if (permit_) return true;
  wanted_ = wishes;
  sent_for_turn_ = sent_asked(item, text, statement);
  asked_for_turn_ = std::move(statement);
  stop_ = Next::turn;
  return false;
}

void Relay::wait_for_turn(std::function<void()> then, std::int64_t now) {
  const std::int64_t predicted = asked_for_turn_ ? options_.times->mean(asked_for_turn_->fingerprint) : 0;
  const auto priority = boosted(wanted_.priority, wanted_.party->boost());
  const std::int64_t time =
      wanted_limit_.ns == 0 ? 0 : std::max<std::int64_t>(wanted_limit_.ns - (asked_at_ != 0 ? now - asked_at_ : 0), 1);
  turn_ = options_.executor->wait({.party = wanted_.party,
                                   .priority = priority,
                                   .predicted = predicted,
                                   .places = writer_.attached() ? nullptr : options_.places,
                                   .time = time,
                                   .is_patient = options_.is_patient},
                                  std::move(then), now);
}

void Relay::end_wait_for_turn(Waited how, std::int64_t now) {
  now_ = now;
  const auto turn = std::exchange(turn_, nullptr);
  auto& executor = *options_.executor;
  const std::int64_t waited = now - turn->since();
  waited_ns_ += waited;
  if (how == Waited::ended && turn->state() == executor::WaitingQuery::State::let_in) {
    keep(wanted_.party);
    permit_ = executor.take(*turn, now);
    first_ended_ = {};
    had_turn_ = true;
    return;
  }
  if (how == Waited::long_enough) {
    executor.stop_waiting(*turn, now);
    permit_ = executor.take_anyway(keep(wanted_.party), now);
    first_ended_ = {};
    had_turn_ = true;
    return;
  }
  Error error = why_not_let_in(how, *turn, waited);
  executor.stop_waiting(*turn, now);
  executor.take_back(*wanted_.party);
  refuse(std::move(error), asked_for_turn_, std::move(sent_for_turn_));
}

/// What a client that stays on its server connection says of how its queries are to run. A ROLLBACK doesn't undo it.
void Relay::note_wishes(const sql::Statement& statement) {
  using What = sql::SessionChange::What;
  auto next = here_ ? *here_ : backend::Settings{};
  for (const auto& change : statement.changes) {
    const bool all = change.what == What::reset_all || change.what == What::discard_all;
    const bool one = (change.what == What::set || change.what == What::reset) && is_wish(change.name);
    if (!all && !one) continue;
    std::erase_if(next, [&](const auto& kept) { return all || kept.name == change.name; });
    if (change.what == What::set) next.push_back({change.name, change.text});
  }
  if (next != (here_ ? *here_ : backend::Settings{}))
    here_ = std::make_shared<const backend::Settings>(std::move(next));
}

/// It is executed: whether the session may have locks from now on that outlive transactions.
void Relay::note_locks(const sql::Statement& statement) {
  constexpr std::array<std::string_view, 3> pins = {"advisory lock", "do block", "procedure"};
  for (const auto& change : statement.changes) {
    const bool is_pin = change.what == sql::SessionChange::What::pin;
    may_hold_locks_ |= is_pin && std::ranges::find(pins, change.name) != pins.end();
  }
}

}  // namespace millrace::gateway
