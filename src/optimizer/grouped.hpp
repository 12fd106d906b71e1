#pragma once

#include <vector>

#include "optimizer/correlations.hpp"
#include "optimizer/rule.hpp"

namespace millrace::optimizer {

/// A sub-query in FROM that groups by columns, gives back some of them, and whose aggregates and HAVING can't fail.
struct Grouped {
  const Source* source = nullptr;
  Select* select = nullptr;
  const Level* level = nullptr;
  struct Key {
    const SourceColumn* given = nullptr;  ///< as `source` gives it
    Node* node = nullptr;                 ///< inside
    Resolved column;
  };
  std::vector<Key> keys = {};
  /// Who meets it: the conjuncts of its level, or those of the LEFT JOIN that it is the right side of.
  std::vector<Conjunct> met = {};
  bool inner = true;

  /// Null: it isn't one that it groups by.
  const Key* key_of(const Analysis& analysis, const Node* node, Scope scope) const;
  /// Puts a condition into its WHERE; false: it is there already.
  bool narrow(Tree& tree, Node* condition) const;
};
std::vector<Grouped> grouped_in(const Site& site, Select* select);

}  // namespace millrace::optimizer
