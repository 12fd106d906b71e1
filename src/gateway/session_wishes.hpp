#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backend/server_state.hpp"
#include "executor/adaptive_query_executor.hpp"

namespace millrace::gateway {

/// Whom a client says that it asks for; "": it doesn't say.
struct AskedFor {
  std::string user_id, project_id;
  bool operator==(const AskedFor&) const = default;
};

/// How a client wants its queries to run.
struct Wishes {
  executor::Priority priority = executor::Priority::normal;
  std::shared_ptr<executor::Party> party;     ///< whose they are
  std::shared_ptr<const AskedFor> asked_for;  ///< the same by name; null: nobody is named
  std::chrono::milliseconds timeout{0};       ///< from when they come to their ends; 0: it says nothing
};

/// Whether a setting of this name, "millrace.priority" say, is one.
bool is_wish(std::string_view name);

/// "30" (seconds), "250ms", "1.5s", "2min", "1h"; from 1 ms to a week. Null: it is none of them, or out of this.
std::optional<std::chrono::milliseconds> parse_timeout(std::string_view text);

/// What a client says of that, by `millrace.priority`, `millrace.user_id`, `millrace.project_id`, `millrace.timeout`:
/// as settings at its start and later, and in a statement's comment, which wins. What isn't understood counts as not
/// said. Who names no user is the database's user.
class SessionWishes {
 public:
  /// The text and the parameters must outlive this.
  SessionWishes(executor::AdaptiveQueryExecutor& executor, std::string_view user,
                std::shared_ptr<const backend::ParameterList> startup);

  /// `settings`: what the client has set. `text`: of the statement.
  const Wishes& of(const std::shared_ptr<const backend::Settings>& settings, std::string_view text);
  /// Of that only who is named, with no party of theirs: it asks nobody else. Null: nobody.
  std::shared_ptr<const AskedFor> asked_for(const std::shared_ptr<const backend::Settings>& settings,
                                            std::string_view text);

 private:
  static bool take(Wishes& wishes, AskedFor& said, std::string_view name, std::string_view value);
  void make(const std::shared_ptr<const backend::Settings>& settings);
  void find_party(Wishes& wishes, const AskedFor& said);

  executor::AdaptiveQueryExecutor& executor_;
  const std::string_view user_;
  const std::shared_ptr<const backend::ParameterList> startup_;
  std::shared_ptr<const backend::Settings> known_for_;
  Wishes known_, of_statement_;
  AskedFor said_;
  std::shared_ptr<const AskedFor> of_comment_;  ///< who was named last by one
};

}  // namespace millrace::gateway
