// What the publications hold, and whose changes are followed since when.
#include "integration/change_stream.hpp"

namespace millrace::integration {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

/// What can't be mended now (somebody holds a lock) is tried again after this.
constexpr milliseconds rest_after_failure{10000};
constexpr std::size_t most_told = 20;

}  // namespace

asio::awaitable<std::optional<Obstacle>> ChangeStream::look_once() {
  const auto look = ++looks_;
  const auto answer = co_await parts_.query(overview_sql());
  if (!answer) {
    if (!link_) co_return obstacle_of(answer.error());
    co_return std::nullopt;  // what is followed is followed, whether other connections can be had or not
  }
  auto overview = read_overview(*answer);
  if (!overview) co_return obstacle_of(overview.error());
  overview_ = *std::move(overview);
  if (overview_.obstacle) co_return overview_.obstacle;
  {
    const std::lock_guard lock(mutex_);
    status_.tables_followed = overview_.followed;
    status_.tables_unfollowed = overview_.unfollowed;
    status_.lag_bytes = overview_.written > received_ && link_ ? overview_.written - received_ : 0;
  }
  if (!overview_.missing.empty()) {
    if (!identity_.empty()) co_return Obstacle{.reason = "a publication was dropped"};
    for (const auto name : overview_.missing) {
      const auto made = co_await parts_.query(create_sql(name));
      // Another Millrace may have made it just now.
      if (!made && made.error().sqlstate != "42710" && made.error().sqlstate != "23505") {
        co_return obstacle_of(made.error());
      }
    }
    co_return std::nullopt;
  }
  if (identity_.empty()) identity_ = overview_.identity;
  if (identity_ != overview_.identity) co_return Obstacle{.reason = "the publications were changed"};
  if (overview_.to_mend == 0) leaving_.clear();
  if (overview_.members != members_text_) co_await notice_members();
  if ((overview_.to_mend > 0 && Clock::now() >= mend_after_) || overview_.to_take_out > 0 ||
      overview_.unfollowed != told_unfollowed_) {
    co_await mend_tables();
  }
  // Else it is asked for again.
  if (overview_.members == members_text_) {
    looked_ = look;
    looked_once_.set();
  }
  co_return std::nullopt;
}

asio::awaitable<bool> ChangeStream::confirm(std::shared_ptr<ChangeStream> self) {
  if (!self || !co_await self->confirm_publications()) co_return false;
  co_return !self->parts_.confirm_catalogs || co_await self->parts_.confirm_catalogs();
}

asio::awaitable<bool> ChangeStream::confirm_publications() {
  const auto answer =
      co_await parts_.query(fmt::format("SELECT c.*, {} FROM ({}) c", Prober::server_sql, contents_sql()));
  if (!answer || answer->size() != 1 || answer->front().size() != 3) co_return false;
  const auto& row = answer->front();
  if (row[2].value_or("") != server_) co_return false;
  if (row[0].value_or("") == identity_ && row[1].value_or("") == members_text_) co_return true;
  const auto prober = prober_;
  const auto next = looks_ + 1;
  look_asked_ = true;
  wake_.set();
  while (prober && prober == prober_ && looked_ < next) co_await looked_once_.wait(patience);
  co_return prober&& prober == prober_;
}

asio::awaitable<void> ChangeStream::mend_tables() {
  using enum TableToMend::What;
  const auto answer = co_await parts_.query(tables_sql());
  if (!answer) co_return;
  const auto tables = read_tables(*answer);
  // From then on their changes aren't told.
  std::vector<Oid> leaving;
  for (const auto& table : tables) {
    if (table.what == take_out && leaving_.insert(table.oid).second) leaving.push_back(table.oid);
  }
  if (!leaving.empty()) {
    tell_what_is_followed();
    parts_.tables_may_have_changed(leaving);
  }
  bool all = true;
  for (const auto what : {take_out, add_to_changes, add_to_inserts}) {
    std::vector<TableToMend> some;
    std::ranges::copy_if(tables, std::back_inserter(some), [&](const auto& table) { return table.what == what; });
    if (!some.empty() && !co_await keeper_.mend(what, some)) all = false;
  }
  told_unfollowed_ = overview_.unfollowed;
  if (!all) mend_after_ = Clock::now() + rest_after_failure;
  const std::lock_guard lock(mutex_);
  status_.unfollowed.clear();
  for (const auto& table : tables) {
    if (table.what != add_to_changes && status_.unfollowed.size() < most_told) status_.unfollowed.push_back(table.told);
  }
}

asio::awaitable<void> ChangeStream::notice_members() {
  const auto answer = co_await parts_.query(members_sql());
  if (!answer) co_return;
  std::map<Oid, Member> members;
  New added{.before = 0, .everything = false, .tables = {}};
  for (auto& member : read_members(*answer)) {
    const auto known = members_.find(member.table);
    if (known == members_.end() || known->second.place != member.place) added.tables.push_back(member.table);
    added.before = member.next;
    members.emplace(member.table, std::move(member));
  }
  auto changed = added.tables;
  for (const auto& [table, member] : members_) {
    if (!members.contains(table)) changed.push_back(table);
  }
  members_ = std::move(members);
  members_text_ = overview_.members;
  leaving_.clear();
  if (changed.empty() || !link_) co_return;
  if (!added.tables.empty()) {
    new_.push_back(std::move(added));
    if (overview_.forgets_added) begin_anew_ = true;
    const std::lock_guard lock(mutex_);
    status_.settled = false;
  }
  tell_what_is_followed();
  parts_.tables_may_have_changed(changed);
}

asio::awaitable<std::optional<Obstacle>> ChangeStream::look_at_slot() {
  const auto answer = co_await parts_.query(slot_sql(process_id_));
  if (!answer) co_return std::nullopt;  // as in `look_once`
  auto slot = read_slot(*answer);
  if (!slot) co_return obstacle_of(slot.error());
  slot_ = *std::move(slot);
  {
    const std::lock_guard lock(mutex_);
    status_.retained_bytes = slot_.retained;
  }
  if (slot_.retained <= parts_.most_retained()) co_return std::nullopt;
  co_return Obstacle{.reason = "the slot held back more of PostgreSQL's log than CHANGE_STREAM_MAX_RETAINED_MB" +
                               slot_.because()};
}

void ChangeStream::tell_what_is_new() {
  std::erase_if(new_, [this](New& one) {
    if (one.before > overview_.oldest_running) return false;
    if (one.everything) {
      parts_.everything_may_have_changed();
    } else {
      parts_.tables_may_have_changed(one.tables);
    }
    return true;
  });
  tell_what_is_followed();
  const std::lock_guard lock(mutex_);
  status_.settled = new_.empty();
}

/// Those of whose changes none can have been missed.
void ChangeStream::tell_what_is_followed() {
  const bool settled = std::ranges::none_of(new_, [](const New& one) { return one.everything; });
  if (!prober_ || !settled) return;
  auto tables = std::make_shared<Freshness::Tables>();
  for (const auto& [table, member] : members_) {
    if (member.changes && !leaving_.contains(table)) tables->insert(table);
  }
  for (const auto& one : new_) {
    for (const Oid table : one.tables) tables->erase(table);
  }
  parts_.freshness->follow(std::move(tables));
}

}  // namespace millrace::integration
