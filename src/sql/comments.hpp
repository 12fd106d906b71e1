#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::sql {

/// The text with its comments taken out, as PostgreSQL's scanner finds them: what a client's tracing writes into them
/// makes no other statement of it. A space stands for each, so that what it parted stays apart. Answers `text` itself
/// if it holds none, or a backslash (which may hide where a string ends); else what is written to `buffer`.
std::string_view without_comments(std::string_view text, std::string& buffer);

/// What a comment asks of Millrace, in either form:
///
///     /* millrace: ttl=60, tags='analytics,reports', cache=off, consistency=eventual, after=... */
///     /* millrace: priority=high, user_id=42, project_id=7, timeout=30 */
///     /*route='%2Fpages',millrace_ttl='60',millrace_tags='analytics%2Creports'*/   (sqlcommenter's)
///
/// What isn't understood is left out: a comment is never an error.
struct Hints {
  std::optional<std::chrono::seconds> ttl;  ///< 1 s to a year
  std::vector<std::string> tags;            ///< sorted, each once; at most 64, of at most 128 bytes each
  bool cache = true;                        ///< off: it isn't answered from memory, and its answer isn't kept
  bool always = false;                      ///< cache=on: it is, also where that saves no time
  bool rewrite = true;                      ///< off: it is sent as it is written
  std::string consistency;                  ///< "": not said
  std::string after;                        ///< a token; "": not said
  // Of how it is to run; "": not said.
  std::string priority, user_id, project_id, timeout;

  /// Of answers from memory.
  bool any() const { return ttl || !tags.empty() || !cache || always || !consistency.empty() || !after.empty(); }
};
Hints hints_of(std::string_view text);

/// Whether it may hold a comment that extensions plan it by, as pg_hint_plan does.
inline bool has_planner_hints(std::string_view text) { return text.contains("/*+"); }

}  // namespace millrace::sql
