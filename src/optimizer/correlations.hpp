#pragma once

#include <optional>
#include <string>
#include <vector>

#include "optimizer/rule.hpp"

namespace millrace::optimizer {

/// `a = b` is the equality that groups values of either type too: the one decides which values of the other it equals
/// by its group.
bool groups_alike(const Resolved& a, const Resolved& b);

/// A conjunct between a column of a sub-query and one around it.
struct Correlation {
  std::string_view name;  ///< "=", "<", ... : `inner name outer`
  Node* inner = nullptr;
  Node* outer = nullptr;
  Resolved inner_column, outer_column;
};
/// How a simple sub-query from tables names the level around it: by comparisons of columns in its WHERE, and nowhere
/// else; what else WHERE says names nothing outside, and can't fail.
struct Correlations {
  std::vector<Correlation> all;
  std::vector<Node*> others;
};
/// Nullopt: it isn't so, and `missing` says what was in the way, if it names anything outside.
std::optional<Correlations> correlations_of(const Site& site, Select* select, std::string& missing);

/// No column in it is of `level` or around it, but those of `only` (may be null); and each is certain.
bool names_only(const Site& site, Node* node, Scope scope, const Level* level, const Source* only);

}  // namespace millrace::optimizer
