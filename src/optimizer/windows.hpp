#pragma once

#include <string>
#include <vector>

#include "optimizer/correlations.hpp"
#include "optimizer/rule.hpp"

namespace millrace::optimizer {

/// The rows of a table that are before one of them, or after it, in an order by one of its columns, among those that
/// are alike in others.
struct RowsBefore {
  std::vector<std::string> alike;  ///< columns
  std::string order;               ///< likewise
  bool descends = false;           ///< those after it
  bool strict = false;             ///< not the row itself and its peers

  /// By comparisons between the same columns of two rows, `inner name outer`, of which one only is no equality.
  /// Nullopt: they are others, or the column has no order that is that of its comparisons.
  static std::optional<RowsBefore> by(std::span<const Correlation> comparisons);

  /// `ORDER BY order`, for a call with `alias` for the table; `with_frame`: for an aggregate. NULLs come last: they are
  /// in no other row's frame.
  PgQuery__WindowDef* window(Tree& tree, std::string_view alias, bool with_frame) const;
};

}  // namespace millrace::optimizer
