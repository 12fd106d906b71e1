#include "gateway/session_settings.hpp"

#include <algorithm>
#include <array>

#include "gateway/shrink.hpp"

namespace millrace::gateway {
namespace {

using What = sql::SessionChange::What;

/// DateStyle's texts of a session, one after the other, or a client's own text.
constexpr std::size_t longest_to_replay = 64 * 1024;
/// A client that makes more custom settings than these has its server connections closed when it is done with them.
constexpr std::size_t max_placeholders = 100;

using SharedSettings = std::shared_ptr<const backend::Settings>;

/// A style and an order can be set one by one, so both of the texts count; but one that says the same as an earlier one
/// takes its place.
std::string after_date_style(const std::string& before, const std::string& text) {
  std::string kept;
  for (std::size_t at = 0; at < before.size();) {
    const std::size_t end = std::min(before.find("; ", at), before.size());
    const std::string_view one = std::string_view(before).substr(at, end - at);
    if (one != text) kept.append(one).append("; ");
    at = end + 2;
  }
  if (kept.size() > longest_to_replay) kept.clear();  // the client is pinned by then
  return kept + text;
}

/// `settings` with what is in `start` and not in it.
SharedSettings completed(SharedSettings settings, const SharedSettings& start) {
  if (!start) return settings;
  for (const auto& change : *start) {
    if (backend::has_setting(settings, change.name)) continue;
    auto more = settings ? std::make_shared<backend::Settings>(*settings) : std::make_shared<backend::Settings>();
    more->push_back(change);
    settings = std::move(more);
  }
  return settings;
}

/// To the end, as what was set before may matter to it: the role, the encoding of its text.
void set(backend::Settings& settings, const sql::SessionChange& change) {
  std::string text = change.text;
  const auto found = std::ranges::find(settings, change.name, &backend::SettingChange::name);
  if (found != settings.end()) {
    if (change.name == "datestyle") text = after_date_style(found->text, text);
    settings.erase(found);
  }
  settings.push_back({change.name, std::move(text)});
}

SharedSettings changed(const SharedSettings& settings, const std::vector<sql::SessionChange>& changes) {
  auto next = settings ? std::make_shared<backend::Settings>(*settings) : std::make_shared<backend::Settings>();
  const auto named = [&next](const std::string& name) {
    return std::find_if(next->begin(), next->end(), [&](const auto& change) { return change.name == name; });
  };
  for (const auto& change : changes) {
    switch (change.what) {
      case What::set:
        set(*next, change);
        break;
      case What::reset:
        if (const auto found = named(change.name); found != next->end()) next->erase(found);
        break;
      case What::reset_all:
        std::erase_if(*next, [](const auto& kept) { return kept.name != "role"; });
        break;
      default:
        break;
    }
  }
  return next->empty() ? nullptr : std::move(next);
}

/// Takes what is in `from`, which is then empty.
void move_to(std::vector<sql::SessionChange>& to, std::vector<sql::SessionChange>& from) {
  for (auto& change : from) to.push_back(std::move(change));
  from.clear();
}

}  // namespace

void Pin::set(std::string_view why) {
  if (!moves_) return;
  constexpr std::array<std::string_view, 12> of_none = {
      "listen",        "advisory lock", "cursor with hold", "currval() or lastval()", "do block", "procedure",
      "function call", "set_config()",  "random seed",      "replication origin",     "backup",   "dblink connection"};
  const bool matters = std::ranges::find(of_none, why) == of_none.end();
  if (why_.empty() || (matters && !matters_to_reads_)) why_ = why;
  matters_to_reads_ |= matters;
}

void SessionSettings::expect_placeholders(const sql::Statement& statement) {
  if (!moves_ || statement.kind != sql::StatementKind::set) return;
  for (const auto& change : statement.changes) {
    const bool room = !placeholders_ || placeholders_->size() < max_placeholders;
    if (change.what == What::set && change.name.contains('.') && room) {
      placeholders_ = backend::with_placeholder(placeholders_, change.name);
    }
  }
}

bool SessionSettings::note_placeholder(std::string_view name, backend::ServerState& server) const {
  if (!name.contains('.')) return true;
  if (!moves_ || (placeholders_ && placeholders_->size() >= max_placeholders)) return false;
  server.placeholders = backend::with_placeholder(server.placeholders, name);
  return true;
}

bool SessionSettings::reads_plainly(std::string_view text) {
  if (judged_ != parameters) judge_lexing();
  if (plain_lexing_ && !changes_of_meaning_.lexing) return true;
  return std::ranges::none_of(text, [](char c) { return c == '\\' || static_cast<unsigned char>(c) >= 0x80; });
}

void SessionSettings::judge_lexing() {
  judged_ = parameters;
  plain_lexing_ = true;
  // In these encodings a character's later bytes may look like a backslash or a quote (PostgreSQL manual, 24.3).
  constexpr std::array<std::string_view, 8> unsafe = {"BIG5", "GB18030",        "GBK", "JOHAB",
                                                      "SJIS", "SHIFT_JIS_2004", "UHC", "MSKANJI"};
  for (const auto& [name, value] : *parameters) {
    if (name == "standard_conforming_strings" && value != "on") plain_lexing_ = false;
    if (name == "client_encoding" && std::find(unsafe.begin(), unsafe.end(), value) != unsafe.end())
      plain_lexing_ = false;
  }
}

const TextMeaning& SessionSettings::meaning() {
  if (meaning_of_ != settings_) {
    meaning_of_ = settings_;
    meaning_ = meaning_under(settings_.get());
  }
  return meaning_;
}

std::string SessionSettings::start_to_set_again(const sql::Statement& statement) const {
  std::string sql;
  if (!start_) return sql;
  for (const auto& setting : *start_) {
    bool reset = false;
    for (const auto& change : statement.changes) {
      if (change.what == What::reset_all || change.what == What::discard_all) reset = true;
      if (change.name != setting.name) continue;
      if (change.what == What::reset) reset = true;
      if (change.what == What::set) reset = false;
    }
    if (reset) sql += (sql.empty() ? "" : "; ") + setting.text;
  }
  return sql;
}

void SessionSettings::on_discard_all(backend::ServerState& server) {
  settings_ = server.settings = start_;  // set again behind it
  of_batch_.clear();
  of_transaction_.clear();
}

void SessionSettings::on_tag(std::string_view tag, Reply& reply, backend::ServerState& server) {
  if (!moves_) return;
  const auto& statement = reply.exchange.statement;
  if (tag == "COMMIT" || tag == "PREPARE TRANSACTION" || tag == "ROLLBACK") {
    move_to(of_transaction_,
            of_batch_);  // what the same batch changed before belongs to the transaction that ends here
  }
  if (tag == "COMMIT" || tag == "PREPARE TRANSACTION") {
    take_effect(std::exchange(of_transaction_, {}), server);
  } else if (tag == "ROLLBACK") {
    const auto partly = [](sql::TransactionStep step) { return step == sql::TransactionStep::rollback_to; };
    if (!statement || std::ranges::any_of(statement->steps, partly)) {
      if (!of_transaction_.empty()) pin_.set("SET and ROLLBACK TO SAVEPOINT in one transaction");
    } else {
      of_transaction_.clear();
    }
  }
  if (!statement) return;
  placeholders_are_known(tag, reply, server);
  if (statement->statements == 1) {
    of_batch_.insert(of_batch_.end(), statement->changes.begin(), statement->changes.end());
  }
}

/// What is set, and be it for a transaction that is undone, is known by its name from then on. In a text of several
/// statements, the next of its SET or RESET is done; what it sets in other ways is taken to be at its first statement.
void SessionSettings::placeholders_are_known(std::string_view tag, Reply& reply, const backend::ServerState& server) {
  const auto is_known = [&](const std::string& name) {
    if (!name.contains('.') || !server.placeholders || !std::ranges::binary_search(*server.placeholders, name)) return;
    placeholders_ = backend::with_placeholder(placeholders_, name);
    if (*placeholders_ == *server.placeholders) placeholders_ = server.placeholders;
  };
  const auto& statement = *reply.exchange.statement;
  if (!std::exchange(reply.others_are_set, true)) {
    for (const auto& name : statement.other_settings) is_known(name);
  }
  if (tag != "SET" && tag != "RESET") return;
  while (reply.settings_done < statement.changes.size()) {
    const auto& change = statement.changes[reply.settings_done++];
    if (change.what != What::set && change.what != What::reset) continue;
    is_known(change.name);
    return;
  }
}

void SessionSettings::on_text_done(const sql::Statement& statement, bool failed) {
  if (!moves_ || statement.statements <= 1 || statement.changes.empty()) return;
  // What stands before a BEGIN in the same text is part of its transaction too.
  const auto only_begins = [](sql::TransactionStep step) { return step == sql::TransactionStep::begin; };
  if (!std::ranges::all_of(statement.steps, only_begins)) {
    pin_.set("SET and transaction commands in one text");
  } else if (!failed) {
    of_batch_.insert(of_batch_.end(), statement.changes.begin(), statement.changes.end());
  }
}

void SessionSettings::on_ready(char status, bool failed, backend::ServerState& server) {
  if (of_batch_.empty() && of_transaction_.empty()) return;
  if (failed) of_batch_.clear();
  if (status != 'I') return move_to(of_transaction_, of_batch_);
  if (!failed) take_effect(of_transaction_, server);
  take_effect(of_batch_, server);
  of_transaction_.clear();
  of_batch_.clear();
}

void SessionSettings::take_effect(const std::vector<sql::SessionChange>& changes, backend::ServerState& server) {
  if (changes.empty()) return;
  const bool one = server.settings == settings_;
  auto wanted = changed(settings_, changes);
  if (wanted && std::ranges::any_of(*wanted, [](const auto& kept) { return kept.text.size() > longest_to_replay; })) {
    pin_.set("a setting whose text is long");
  }
  settings_ = completed(std::move(wanted), start_);
  server.settings = one ? settings_ : completed(changed(server.settings, changes), start_);
}

void SessionSettings::start_is_unknown(backend::ServerState& server) const {
  auto settings = server.settings ? *server.settings : backend::Settings{};
  for (const auto& setting : *start_) {
    std::erase_if(settings, [&](const auto& kept) { return kept.name == setting.name; });
    settings.push_back({setting.name, ""});
  }
  server.settings = std::make_shared<const backend::Settings>(std::move(settings));
}

std::size_t SessionSettings::give_back_memory() { return shrink(of_batch_) + shrink(of_transaction_); }

}  // namespace millrace::gateway
