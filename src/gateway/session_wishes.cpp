#include "gateway/session_wishes.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "gateway/startup_settings.hpp"
#include "sql/comments.hpp"
#include "sql/statement.hpp"

namespace millrace::gateway {
namespace {

constexpr std::string_view prefix = "millrace.";
constexpr std::array<std::string_view, 4> wish_names = {"priority", "timeout", "user_id", "project_id"};
/// Of a user's or project's name.
constexpr std::size_t longest_name = 128;

/// What a SET sets: a string, or a number.
std::string_view value_of(const sql::SessionChange& change) {
  if (!change.value.empty()) return change.value;
  const auto last = change.text.find_last_of("= ");
  return last == std::string::npos ? std::string_view() : std::string_view(change.text).substr(last + 1);
}

}  // namespace

bool is_wish(std::string_view name) {
  return name.starts_with(prefix) && std::ranges::find(wish_names, name.substr(prefix.size())) != wish_names.end();
}

std::optional<std::chrono::milliseconds> parse_timeout(std::string_view text) {
  struct Unit {
    std::string_view name;
    double ms;
  };
  constexpr std::array<Unit, 5> units = {{{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}}};
  constexpr double most = 7 * 24 * 3'600'000.0;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{}) return std::nullopt;
  auto unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto* const found = std::ranges::find(units, unit, &Unit::name);
  if (found == units.end() || !(number * found->ms >= 1) || !(number * found->ms <= most)) return std::nullopt;
  return std::chrono::milliseconds(static_cast<std::int64_t>(number * found->ms));
}

SessionWishes::SessionWishes(executor::AdaptiveQueryExecutor& executor, std::string_view user,
                             std::shared_ptr<const backend::ParameterList> startup)
    : executor_(executor), user_(user), startup_(std::move(startup)) {
  make(nullptr);
}

/// False: it says nothing about this.
bool SessionWishes::take(Wishes& wishes, AskedFor& said, std::string_view name, std::string_view value) {
  if (name == "priority") {
    wishes.priority = executor::parse_priority(value).value_or(executor::Priority::normal);
  } else if (name == "timeout") {
    wishes.timeout = parse_timeout(value).value_or(std::chrono::milliseconds::zero());
  } else if (name == "user_id") {
    said.user_id = value.substr(0, longest_name);
  } else if (name == "project_id") {
    said.project_id = value.substr(0, longest_name);
  } else {
    return false;
  }
  return true;
}

/// One who is named is no database's user: a NUL stands before a database's.
void SessionWishes::find_party(Wishes& wishes, const AskedFor& said) {
  const bool names_nobody = said.user_id.empty() && said.project_id.empty();
  wishes.asked_for = names_nobody ? nullptr : std::make_shared<const AskedFor>(said);
  wishes.party =
      executor_.party(said.user_id.empty() ? std::string(1, '\0').append(user_) : said.user_id, said.project_id);
}

void SessionWishes::make(const std::shared_ptr<const backend::Settings>& settings) {
  known_for_ = settings;
  known_ = {};
  said_ = {};
  if (const auto startup = settings_of(*startup_)) {
    for (const auto& [name, value] : *startup) {
      if (name.starts_with(prefix)) take(known_, said_, std::string_view(name).substr(prefix.size()), value);
    }
  }
  if (settings != nullptr) {
    for (const auto& change : *settings) {
      if (!is_wish(change.name)) continue;
      const auto statement = sql::parse(change.text);
      if (statement->changes.size() != 1) continue;
      take(known_, said_, std::string_view(change.name).substr(prefix.size()), value_of(statement->changes.front()));
    }
  }
  find_party(known_, said_);
}

const Wishes& SessionWishes::of(const std::shared_ptr<const backend::Settings>& settings, std::string_view text) {
  if (known_for_ != settings) make(settings);
  if (!text.contains("millrace")) return known_;
  const auto hints = sql::hints_of(text);
  if (hints.priority.empty() && hints.user_id.empty() && hints.project_id.empty() && hints.timeout.empty())
    return known_;
  of_statement_ = known_;
  auto said = said_;
  if (!hints.priority.empty()) take(of_statement_, said, "priority", hints.priority);
  if (!hints.timeout.empty()) take(of_statement_, said, "timeout", hints.timeout);
  if (!hints.user_id.empty()) take(of_statement_, said, "user_id", hints.user_id);
  if (!hints.project_id.empty()) take(of_statement_, said, "project_id", hints.project_id);
  if (!hints.user_id.empty() || !hints.project_id.empty()) find_party(of_statement_, said);
  return of_statement_;
}

std::shared_ptr<const AskedFor> SessionWishes::asked_for(const std::shared_ptr<const backend::Settings>& settings,
                                                         std::string_view text) {
  if (known_for_ != settings) make(settings);
  if (!text.contains("millrace")) return known_.asked_for;
  const auto hints = sql::hints_of(text);
  if (hints.user_id.empty() && hints.project_id.empty()) return known_.asked_for;
  Wishes unused;
  auto said = said_;
  if (!hints.user_id.empty()) take(unused, said, "user_id", hints.user_id);
  if (!hints.project_id.empty()) take(unused, said, "project_id", hints.project_id);
  if (!of_comment_ || *of_comment_ != said) of_comment_ = std::make_shared<const AskedFor>(std::move(said));
  return of_comment_;
}

}  // namespace millrace::gateway
