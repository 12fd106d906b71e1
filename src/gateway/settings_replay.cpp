#include "gateway/settings_replay.hpp"

#include <algorithm>

#include "gateway/text_meaning.hpp"

namespace millrace::gateway {
namespace {

/// The parts of a custom setting's name may be words that SQL reserves, as in app.user.
std::string quoted_name(std::string_view setting) {
  std::string out = "\"";
  for (const char c : setting)
    out += c == '.' ? std::string("\".\"") : c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

void add(std::string& sql, std::string_view text) {
  if (!sql.empty()) sql += "; ";
  sql += text;
}

const backend::SettingChange* find(const backend::Settings* in, std::string_view name) {
  if (in == nullptr) return nullptr;
  const auto found = std::ranges::find(*in, name, &backend::SettingChange::name);
  return found == in->end() ? nullptr : &*found;
}

bool change_lexing(const backend::Settings* settings) {
  return settings != nullptr &&
         std::ranges::any_of(*settings, [](const auto& change) { return changes_lexing(change.name); });
}

bool same_change(const backend::SettingChange* a, const backend::SettingChange* b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

bool knows(const backend::PlaceholderNames& names, const std::string& name) {
  return names && std::ranges::binary_search(*names, name);
}

}  // namespace

std::vector<ReplayStep> replay(const backend::ServerState& server, const backend::Settings* wanted,
                               const backend::PlaceholderNames& known) {
  const backend::Settings* there = server.settings.get();
  const bool lexing = change_lexing(there) || change_lexing(wanted);
  std::vector<ReplayStep> steps;
  std::string sql;
  const auto end_step = [&] {
    if (!sql.empty()) steps.push_back({.sql = std::move(sql)});
    sql.clear();
  };
  const auto stays = [&](const backend::SettingChange& change) {
    const auto* other = find(change.name == "role" ? nullptr : wanted, change.name);
    return !lexing && other != nullptr && *other == change;
  };
  // A text is cancelled by the time-out that holds as it begins, so this is lifted before, and set last.
  constexpr std::string_view timeout = "statement_timeout";
  const auto* const limit_there = find(there, timeout);
  const auto* const limit = find(wanted, timeout);
  // The role first: what may be set, and what a search path means, depends on it.
  if (find(there, "role") != nullptr) add(sql, "RESET ROLE");
  if (there != nullptr) {
    for (const auto& change : *there) {
      // What was changed step by step starts from its default again.
      if (change.name != "role" && !stays(change) && (lexing || change.name != timeout))
        add(sql, "RESET " + quoted_name(change.name));
    }
  }
  if (lexing) end_step();
  if (wanted != nullptr) {
    for (const auto& change : *wanted) {
      const auto* same = find(there, change.name);
      if ((same != nullptr && stays(*same)) || (!lexing && change.name == timeout)) continue;
      add(sql, change.text);
      if (lexing) end_step();
    }
  }
  const bool lifts = limit_there != nullptr && (lexing || !sql.empty());
  if (!lexing && (lifts || !same_change(limit_there, limit))) {
    if (limit_there != nullptr) add(sql, "RESET " + quoted_name(timeout));
    if (limit != nullptr) add(sql, limit->text);
  }
  end_step();
  if (lifts) steps.insert(steps.begin(), {.sql = "SET statement_timeout = 0"});
  // RESET makes a custom setting's name known. The client may have tried to set one that isn't allowed; and PL/pgSQL,
  // when it is loaded, would warn of those in its name that it doesn't define.
  for (const auto& name : known ? *known : std::vector<std::string>{}) {
    if (knows(server.placeholders, name) || find(wanted, name) != nullptr || name.starts_with("plpgsql.")) continue;
    steps.push_back({.sql = "RESET " + quoted_name(name), .may_fail = true});
  }
  return steps;
}

}  // namespace millrace::gateway
