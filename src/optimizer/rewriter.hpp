#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "catalog/snapshot.hpp"
#include "optimizer/session.hpp"

namespace millrace::optimizer {

struct Options {
  /// What may be done; each level does what those below it do.
  ///   1: a condition is said in another way
  ///   2: sub-queries become joins that PostgreSQL knows how to do: EXISTS, NOT EXISTS
  ///   3: what changes nothing is left out: DISTINCT, ORDER BY, joins, by keys and foreign keys
  ///   4: what is usually quicker, but can be slower: to be compared by EXPLAIN (Step::by_cost)
  ///   5: as 4
  int level = 3;
  bool rewriting = true;           ///< ENABLE_AUTOMATIC_QUERY_REWRITING: without it nothing is rewritten
  bool predicate_pushdown = true;  ///< ENABLE_PREDICATE_PUSHDOWN
  bool join_optimization = true;   ///< ENABLE_JOIN_OPTIMIZATION
  /// Whether rows that a foreign key forbids aren't there. They can be, and nothing shows it: what was loaded while
  /// triggers were off, or as a replica does, is never checked.
  bool trusts_foreign_keys = true;
  /// MAX_QUERY_OPTIMIZATION_TIME_MS: no further rule is tried once it is over; what was done stays.
  std::chrono::milliseconds budget{500};
};

/// What a rule does, by the API's names.
enum class OptimizationType : std::uint8_t {
  predicate_pushdown,     ///< a condition is said so, or there, that fewer rows are read
  join_reorder,           ///< tables are joined otherwise, or not at all
  subquery_optimization,  ///< a sub-query is said in a way that isn't run for each row
  memory_optimization,    ///< nothing is sorted or hashed that needn't be
};
std::string_view name(OptimizationType type);

struct Step {
  std::string rule;
  OptimizationType type = OptimizationType::predicate_pushdown;
  std::string before, after;  ///< the whole statement
  bool by_cost = false;
};

/// A rule that would have fired.
struct NearMiss {
  std::string rule;
  std::string missing;  ///< a sentence's worth: "orders.customer_id isn't declared NOT NULL"
  bool operator==(const NearMiss&) const = default;
};

struct Rewrite {
  std::string text = {};         ///< the original's where there are no steps
  std::vector<Step> steps = {};  ///< in their order; each alone gives the same rows
  std::vector<NearMiss> near_misses = {};
  std::string not_rewritten = {};  ///< why no rule was tried: "it isn't a SELECT"; "": they were
  bool out_of_time = false;        ///< the budget ended it
};

/// Says a SELECT in a way that PostgreSQL answers sooner, where it is proved by the catalog that both give the same
/// rows (as a multiset, or in the order of ORDER BY) and that neither fails where the other doesn't; with one
/// exception: that a date or timestamp is out of range, of values within an interval's length of the ends of
/// PostgreSQL's calendar (4713 BC, 294276), needn't be said any more.
///
/// The rewritten text was parsed again, and is the tree that was meant. Parameters keep their numbers and types. No
/// I/O; thread-safe. It needs Tree::stack_needed(text.size()) bytes of stack: threads of sql::ParsePool have them.
///
/// What it says holds for that catalog, that session and those options: they belong to the key of whoever keeps it.
/// Errors: 42601 for what can't be parsed, 54000 for what is too long; see Tree::parse.
Result<Rewrite> rewrite(std::string_view text, const catalog::Snapshot& snapshot, const Session& session,
                        const Options& options);

/// The names of all rules, in their order.
std::vector<std::string_view> rule_names();

}  // namespace millrace::optimizer
