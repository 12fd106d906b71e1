#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "optimizer/cannot_fail.hpp"
#include "optimizer/expression.hpp"
#include "optimizer/rewriter.hpp"
#include "optimizer/walk.hpp"

namespace millrace::optimizer {

/// Which of the settings turns a rule off.
enum class Family : std::uint8_t { rewriting, pushdown, join };

struct Rule;

/// What was done to a SELECT, and with what, where it can't be seen in it for sure, as other rules change what was put
/// there. It holds for one rewriting.
using Done = std::set<std::pair<const Select*, std::string>>;

/// Where a rule is tried: what it may ask and use.
struct Site {
  Tree& tree;
  Analysis& analysis;
  const Place& place;
  std::string_view rule;
  std::vector<NearMiss>& misses;
  Done& done;

  /// It would have fired, but for this. In words for people.
  void missed(std::string what) const { misses.push_back({.rule = std::string(rule), .missing = std::move(what)}); }
  const Scope& scope() const { return place.scope; }
  /// For a condition of which only TRUE counts: `implied` AND the condition itself. `implied` must be TRUE of each row
  /// of which the condition is TRUE, or fails. Null: it is there already.
  Node* narrowed(Node* condition, Node* implied) const;
};

/// One way to say the same in a way that PostgreSQL is quicker with. What is in a rule's file: the pattern, the
/// condition, the replacement, and why both give the same rows. Its cases are in cases/NAME.cases.
struct Rule {
  std::string_view name;
  int level = 1;  ///< from which on it is used: see Options::level
  Family family = Family::rewriting;
  OptimizationType type = OptimizationType::predicate_pushdown;
  bool by_cost = false;              ///< it can be slower: whoever applies it compares the estimates
  bool trusts_foreign_keys = false;  ///< see Options
  /// It names once what was named twice, or more often, in comparisons that give a parameter the same type.
  bool joins_parameters = false;
  /// What stands for the expression, or null.
  Node* (*expression)(const Site& site, Node* node) = nullptr;
  /// Changes the SELECT (or set operation), or answers false and has changed nothing.
  bool (*query)(const Site& site, Select* select) = nullptr;
};

/// In the order in which they are tried.
std::span<const Rule* const> all_rules();

}  // namespace millrace::optimizer
