#include "integration/prober.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <charconv>
#include <set>

#include "base/clock.hpp"

namespace millrace::integration {

namespace asio = boost::asio;
namespace {

/// What is on disk is told; what commits without waiting for the disk is seen by others before.
constexpr std::string_view question =
    "SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_current_wal_flush_lsn(),"
    " pg_catalog.pg_current_snapshot()"
    " WHERE {}";
/// Where what isn't on disk may matter: mostly the next commit brings it there; where none comes, this one does.
constexpr std::string_view flush =
    "SELECT pg_catalog.set_config('synchronous_commit', 'local', true),"
    " pg_catalog.pg_logical_emit_message(true, 'millrace', ''), pg_catalog.pg_current_xact_id()"
    " WHERE {}";
/// Which of these transactions are rolled back: they have changed nothing, rows or catalogs, and are never told. What
/// the server doesn't remember any more isn't among them.
constexpr std::string_view rolled_back =
    "SELECT xid FROM pg_catalog.unnest('{{{}}}'::pg_catalog.xid8[]) xid WHERE pg_catalog.pg_xact_status(xid) = "
    "'aborted' AND {}";
constexpr std::size_t most_looked_up = 1000;
constexpr std::int64_t us = 1000, ms = 1000 * us;
/// Before it is asked whether what isn't told was rolled back: mostly the stream is only on its way.
constexpr std::int64_t patience_for_stream = 2 * ms;
constexpr std::int64_t patience_for_flush = 20 * ms;
/// Between questions.
constexpr std::int64_t spacing = 200 * us;
/// Between questions that nobody waits for: twice as long each time that one has told nothing new.
constexpr std::int64_t first_rest = 1 * ms, longest_rest = 64 * ms;
constexpr std::int64_t rest_after_failure = 200 * ms;
/// Between looks at the catalogs that nobody waits for.
constexpr std::int64_t between_looks = 1000 * ms;
/// A look at the catalogs is followed by a pause of so many times its time.
constexpr std::int64_t rest_of_looks = 4;
/// Of the record of a commit without messages of invalidation, which each change of a catalog makes: 46 bytes, or up to
/// three subtransactions, in units of 8. The shortest with a message has 66.
constexpr Lsn longest_harmless_commit = 64;
/// While the stream stands still.
constexpr std::size_t most_asked = 64;

/// "1/A0": two numbers in hexadecimal.
std::optional<Lsn> parse_lsn(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::uint32_t high = 0, low = 0;
  const auto read = [](std::string_view digits, std::uint32_t& number) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  if (!read(text.substr(0, slash), high) || !read(text.substr(slash + 1), low)) return std::nullopt;
  return (Lsn{high} << 32) | low;
}

}  // namespace

std::shared_ptr<Prober> Prober::start(asio::io_context& io, std::string server, Parts parts,
                                      std::shared_ptr<Freshness> freshness) {
  std::shared_ptr<Prober> prober(new Prober(io, std::move(server), std::move(parts), std::move(freshness)));
  prober->freshness_->on_wanted([weak = std::weak_ptr(prober), &io, posted = std::make_shared<std::atomic<bool>>()] {
    if (posted->exchange(true)) return;
    asio::post(io, [weak, posted] {
      posted->store(false);
      if (const auto self = weak.lock()) self->wake_.set();
    });
  });
  asio::co_spawn(io, prober->run(), [prober](const std::exception_ptr&) {});
  return prober;
}

Prober::Prober(asio::io_context& io, std::string server, Parts parts, std::shared_ptr<Freshness> freshness)
    : io_(io),
      is_the_same_(fmt::format("{} = '{}'", server_sql, server)),
      parts_(std::move(parts)),
      freshness_(std::move(freshness)),
      wake_(io) {}

void Prober::stop() {
  stopped_ = true;
  freshness_->on_wanted(nullptr);
  wake_.set();
}

void Prober::committed(Xid xid, Lsn commit_lsn, Lsn end_lsn) {
  xids_.add(xid);
  if (end_lsn > commit_lsn && end_lsn - commit_lsn <= longest_harmless_commit) harmless_.add(xid);
}

void Prober::told(Lsn end) {
  told_ = std::max(told_, end);
  prove_what_is_told();
}

void Prober::prove_what_is_told() {
  bool is_more_told = false;
  for (; !asked_.empty(); asked_.pop_front()) {
    auto& asked = asked_.front();
    if (told_ < asked.end && (told_ < asked.on_disk || !xids_.are_all_of(asked.seen))) break;
    xids_.accept(asked.seen);
    told_up_to_ = std::move(asked);
    is_more_told = true;
  }
  if (!asked_.empty() && is_to_be_looked_up(asked_.front())) wake_.set();
  if (!is_more_told || stopped_) return;
  freshness_->prove(told_up_to_->at, now_ns());
  certify();
}

/// As the stream has told all that it can tell at present.
bool Prober::is_to_be_looked_up(const Asked& asked) const { return !asked.is_looked_up && told_ >= asked.on_disk; }

void Prober::certify() {
  // What is being confirmed is older; there's no certainty without it.
  if (!told_up_to_ || stopped_ || confirming_ != 0) return;
  if (!harmless_.are_all_of(told_up_to_->seen)) return wake_.set();
  harmless_.accept(std::move(told_up_to_->seen));
  freshness_->certify(told_up_to_->at, now_ns());
  told_up_to_.reset();
}

/// Whether a question was asked whose answer is a proof of that, or may still become one.
bool Prober::is_asked(const Moments& wanted) const {
  if (!asked_.empty()) return std::max(wanted.rows, wanted.catalogs) <= asked_.back().at;
  // Of the catalogs none is left where they couldn't be looked at.
  const auto known = std::max(confirming_, freshness_->certain_until());
  return wanted.rows <= freshness_->proved_until() && wanted.catalogs <= (told_up_to_ ? told_up_to_->at : known);
}

asio::awaitable<void> Prober::run() {
  while (!stopped_) {
    const auto now = now_ns();
    const auto wanted = freshness_->wanted(now);
    const bool is_asked = this->is_asked(wanted.moments);
    const bool confirms = told_up_to_ && confirming_ == 0;
    // Where nobody needs to know, too, as long as anything is proved: else ever more would have to be remembered. Where
    // somebody does, not before it helps: the next look would only come the later.
    const bool helps = confirms && wanted.first_catalogs != 0 && wanted.first_catalogs <= told_up_to_->at;
    const auto confirm_at = helps ? confirm_after_ : std::max(confirm_after_, looked_at_ + between_looks);
    if (confirms && now >= confirm_at) {
      co_await look_up_rolled_back(told_up_to_->seen);
      certify();
      if (stopped_ || !told_up_to_ || confirming_ != 0) continue;
      confirming_ = told_up_to_->at;
      auto asked = *std::exchange(told_up_to_, std::nullopt);
      asio::co_spawn(io_, confirm(std::move(asked)), [self = shared_from_this()](const std::exception_ptr&) {});
      continue;
    }
    std::int64_t next = now + std::int64_t{3600} * 1000 * ms;
    if (confirms) next = std::min(next, confirm_at);
    if (!is_asked) next = std::min(next, ask_after_);
    if (wanted.snapshot) next = std::min(next, look_after_);
    const Asked* const first = asked_.empty() ? nullptr : &asked_.front();
    const bool looks_up = first != nullptr && is_to_be_looked_up(*first);
    if (looks_up) next = std::min(next, first->at + patience_for_stream);
    if (first != nullptr && !first->is_brought_to_disk) next = std::min(next, first->at + patience_for_flush);
    if (now < next) {
      co_await wake_.wait(std::chrono::nanoseconds(next - now));
    } else if (looks_up && now >= first->at + patience_for_stream) {
      co_await look_up_rolled_back(first->seen);
      prove_what_is_told();
    } else if ((!is_asked && now >= ask_after_) || (wanted.snapshot && now >= look_after_)) {
      co_await ask();
    } else {
      co_await bring_to_disk();
    }
  }
}

/// What was asked about by then needn't be asked about again: what is rolled back later isn't seen to be over by it.
asio::awaitable<void> Prober::look_up_rolled_back(XidSnapshot seen) {
  std::set<std::uint64_t> xids;
  for (const auto* const told : {&xids_, &harmless_}) {
    for (const auto xid : told->not_told_of(seen, most_looked_up)) xids.insert(xid);
  }
  for (auto& asked : asked_) {
    if (asked.seen.xmax <= seen.xmax) asked.is_looked_up = true;
  }
  if (xids.empty()) co_return;
  const auto rows = co_await parts_.query(fmt::format(rolled_back, fmt::join(xids, ","), is_the_same_));
  if (!rows) co_return;
  for (const auto& row : *rows) {
    std::uint64_t xid = 0;
    const std::string text = row.empty() ? "" : row[0].value_or("");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), xid);
    if (error != std::errc() || !xids.contains(xid)) continue;
    xids_.add(static_cast<Xid>(xid));
    harmless_.add(static_cast<Xid>(xid));
  }
}

asio::awaitable<void> Prober::bring_to_disk() {
  for (auto& asked : asked_) asked.is_brought_to_disk = true;  // where it fails, somebody will commit some time
  const auto rows = co_await parts_.query(fmt::format(flush, is_the_same_));
  if (!rows || rows->size() != 1 || rows->front().size() != 3) co_return;
  // Its own transaction has changed nothing, and isn't told.
  std::uint64_t xid = 0;
  const auto text = rows->front()[2].value_or("");
  if (std::from_chars(text.data(), text.data() + text.size(), xid).ec == std::errc()) {
    harmless_.add(static_cast<Xid>(xid));
  }
}

/// Beside the questions, as it takes longer.
asio::awaitable<void> Prober::confirm(Asked asked) {
  const auto began = now_ns();
  const bool sure = co_await parts_.confirm();
  confirming_ = 0;
  if (stopped_) co_return;
  const auto now = now_ns();
  looked_at_ = now;
  confirm_after_ = now + (now - began) * rest_of_looks;
  if (sure) {
    harmless_.accept(std::move(asked.seen));
    freshness_->certify(asked.at, now);
    certify();
  } else {
    freshness_->fail_to_prove();
    ask_after_ = confirm_after_ = now + rest_after_failure;
  }
  wake_.set();
}

asio::awaitable<void> Prober::ask() {
  const auto at = now_ns();
  const auto rows = co_await parts_.query(fmt::format(question, is_the_same_));
  if (stopped_) co_return;
  std::optional<Lsn> end, on_disk;
  std::optional<XidSnapshot> snapshot;
  if (rows && rows->size() == 1 && rows->front().size() == 3) {
    const auto& row = rows->front();
    end = parse_lsn(row[0].value_or(""));
    on_disk = parse_lsn(row[1].value_or(""));
    snapshot = XidSnapshot::parse(row[2].value_or(""));
  }
  if (!end || !on_disk || !snapshot) {
    if (rows && rows->empty()) parts_.on_another();
    freshness_->fail_to_prove();
    ask_after_ = look_after_ = now_ns() + rest_after_failure;
    co_return;
  }
  rest_ = freshness_->settle(*snapshot) ? first_rest : std::min(rest_ * 2, longest_rest);
  ask_after_ = at + spacing;
  look_after_ = now_ns() + rest_;
  if (asked_.size() == most_asked) asked_.pop_back();  // the later one proves as much, a little later
  asked_.push_back({.end = *end,
                    .on_disk = *on_disk,
                    .seen = *std::move(snapshot),
                    .at = at,
                    .is_looked_up = false,
                    .is_brought_to_disk = *on_disk >= *end});
  prove_what_is_told();
}

}  // namespace millrace::integration
