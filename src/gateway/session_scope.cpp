#include "gateway/session_scope.hpp"

#include <algorithm>
#include <array>

#include "base/clock.hpp"
#include "gateway/startup_settings.hpp"
#include "pipeline/moment_token.hpp"
#include "sql/comments.hpp"
#include "sql/statement.hpp"

namespace millrace::gateway {
namespace {

constexpr std::string_view consistency = "millrace.consistency", after = "millrace.after", rewrite = "millrace.rewrite";

/// No answer shows them.
bool is_never_seen(std::string_view setting) {
  constexpr std::array<std::string_view, 8> names = {
      "application_name",     "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
      "idle_session_timeout", "log_min_messages",  "work_mem",     "statement_log_sample_rate"};
  // Nothing that is answered from memory reads a custom setting.
  return std::ranges::find(names, setting) != names.end() || setting.contains('.');
}

/// As PostgreSQL reads a boolean; what is none is off.
bool is_on(std::string_view value) {
  std::string lower(value);
  std::ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return lower == "on" || lower == "true" || lower == "yes" || lower == "1" || lower == "t" || lower == "y";
}

/// How a session's transactions see others' changes.
bool is_of_transactions(std::string_view setting) {
  return setting.starts_with("default_transaction_") || setting.starts_with("transaction_");
}

}  // namespace

std::uint64_t SessionScope::epoch() {
  if (cache_ == nullptr) return 0;
  if (!epoch_of_user_) epoch_of_user_ = cache_->epoch_of(std::string(user_));
  return cache_->epoch() + epoch_of_user_->load(std::memory_order_acquire);
}

const pipeline::Scope* SessionScope::of(const std::shared_ptr<const backend::Settings>& settings) {
  if (cache_ == nullptr) return nullptr;
  if (!known_ || known_for_ != settings || known_followed_ != is_followed()) {
    known_followed_ = is_followed();
    known_ = cache_->share(make(settings.get()));
    known_for_ = settings;
  }
  return known_.get();
}

std::optional<Consistency> SessionScope::level_of(std::string_view text) const {
  if (text.contains("millrace")) {
    const auto hints = sql::hints_of(text);
    if (!hints.cache) return std::nullopt;
    if (!hints.consistency.empty() || !hints.after.empty()) {
      auto level = hints.consistency.empty() ? level_ : Consistency::parse(hints.consistency, cache_->bound());
      if (!level) return std::nullopt;
      level->after = after_;
      if (!hints.after.empty()) level->after = std::max(after_, pipeline::moment_of(hints.after, now_ns()));
      return can_be_met(*level) ? level : std::nullopt;
    }
  }
  return wants_ ? level_ : std::nullopt;
}

namespace {

std::optional<Consistency> level_at_start(const pipeline::ReadCache& cache, const backend::ParameterList& startup,
                                          std::optional<Consistency> level) {
  const auto settings = settings_of(startup);
  if (!settings) return std::nullopt;
  std::int64_t moment = 0;
  for (const auto& [name, value] : *settings) {
    if (name == consistency) level = Consistency::parse(value, cache.bound());
    if (name == after) moment = pipeline::moment_of(value, now_ns());
  }
  if (level) level->after = moment;
  return level;
}

}  // namespace

bool wants_answers(pipeline::ReadCache* cache, std::string_view database, const backend::ParameterList& startup,
                   std::optional<Consistency> level) {
  if (cache == nullptr) return false;
  level = level_at_start(*cache, startup, level);
  if (!level || !level->needs_stream()) return level.has_value();
  return cache->follows_changes() && cache->freshness(std::string(database))->is_expected();
}

SessionScope::SessionScope(pipeline::ReadCache* cache, std::string_view database, std::string_view user,
                           std::shared_ptr<const backend::ParameterList> startup, std::optional<Consistency> level,
                           bool rewriting)
    : cache_(cache),
      database_(database),
      user_(user),
      startup_(std::move(startup)),
      wanted_(level),
      rewriting_(rewriting) {
  if (cache_ != nullptr) freshness_ = cache_->freshness(std::string(database_));
}

pipeline::Scope SessionScope::make(const backend::Settings* settings) {
  pipeline::Scope scope{.database = std::string(database_), .user = std::string(user_)};
  level_ = level_at_start(*cache_, *startup_, wanted_);
  after_ = level_ ? level_->after : 0;
  rewrites_ = rewriting_;
  const auto set = [&](std::string_view name, std::string_view text) {
    if (is_never_seen(name)) return;
    scope.settings.append(name).append(1, '\0').append(text).append(1, '\0');
    if (is_of_transactions(name)) scope.why_not = "the client has set how its transactions see those of others";
  };
  const auto startup = settings_of(*startup_);
  if (!startup) {
    scope.why_not = "the client has set options at its start that aren't settings";
    scope.search_path.reset();
  } else {
    for (const auto& [name, value] : *startup) {
      set(name, value);
      if (name == "search_path") scope.search_path = {.is_default = false, .list = value};
      if (name == "role") scope.search_path.reset();
      if (name == rewrite) rewrites_ = rewriting_ && is_on(value);
    }
  }
  if (settings != nullptr) {
    for (const auto& change : *settings) {
      set(change.name, change.text);
      if (change.name == "role") scope.search_path.reset();
      if (change.name != "search_path" && change.name != consistency && change.name != after && change.name != rewrite)
        continue;
      const auto statement = sql::parse(change.text);
      const std::string value = statement->changes.size() == 1 ? statement->changes.front().value : "";
      if (change.name == rewrite) rewrites_ = rewriting_ && is_on(value);
      if (change.name == consistency) level_ = Consistency::parse(value, cache_->bound());
      if (change.name == after) after_ = std::max(after_, pipeline::moment_of(value, now_ns()));
      if (change.name != "search_path") continue;
      scope.search_path.reset();
      if (!value.empty()) scope.search_path = {.is_default = false, .list = value};
    }
  }
  if (level_) level_->after = after_;
  wants_ = level_ && can_be_met(*level_);
  if (level_ && level_->needs_stream()) cache_->follow(scope.database);
  scope.wanted = wants_ || asked_by_comment_ || rewrites_;
  if (!scope.wanted) {
    // It only says what the client's writes change: for all that have set nothing that matters to that it is the same.
    scope.settings = scope.search_path ? (scope.search_path->is_default ? "" : scope.search_path->list) : "?";
    scope.why_not = "it isn't wanted";
  }
  return scope;
}

}  // namespace millrace::gateway
