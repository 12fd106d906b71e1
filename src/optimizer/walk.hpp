#pragma once

#include <functional>

#include "optimizer/scope.hpp"

namespace millrace::optimizer {

/// Where an expression stands.
struct Place {
  Scope scope;
  const Cte* ctes = nullptr;
  bool truth = false;           ///< FALSE and NULL are alike here: a condition, or under AND and OR of one
  bool by_conjuncts = true;     ///< the conjuncts of the levels around it are TRUE where its value matters
  const Node* root = nullptr;   ///< the whole condition, or item, that it is of
  Node* conjunction = nullptr;  ///< the AND that it is directly in
  /// It must be written as it is: the same expression stands elsewhere, in GROUP BY or below DISTINCT in ORDER BY.
  bool fixed = false;
  bool recursive = false;                ///< below WITH RECURSIVE, where UNION may be what ends it
  PgQuery__ResTarget* target = nullptr;  ///< of a list without AS: what it is written like may name the column
};

/// Goes through a statement from the outside in. What a callback changes isn't visited by the same walk: it ends it by
/// answering false, and so does whoever has seen enough.
struct Walk {
  Analysis& analysis;
  /// Each expression, before what it is made of. Answers whether to go on; sets `into` to false where it needn't be
  /// entered.
  std::function<bool(Node** slot, const Place& place, bool& into)> expression;
  /// Each SELECT that isn't a set operation, and each set operation (`scope.level` is what is around it, then).
  std::function<bool(Select* select, const Place& place)> select = {};

  /// `around`: what is around the SELECT.
  bool statement(Select* statement, const Place& around);
  bool expressions(Node** slot, const Place& place);

 private:
  bool body(Select* statement, const Place& place);
  bool from(Node* item, const Place& place, std::size_t& index, bool inner);
  bool each(Node** nodes, std::size_t count, const Place& place);
  bool children(Node* node, const Place& place);
};

/// Every column that a SELECT, or an expression, names, also inside of SELECTs in it: `each` gets its place and what it
/// is, without a column for `alias.*`. False: `each` said so, or one of them isn't certain.
using EachColumn = std::function<bool(Node** slot, const Place& place, const Resolved& column)>;
bool each_column(Analysis& analysis, Select* select, Scope parent, const Cte* ctes, const EachColumn& each);
bool each_column(Analysis& analysis, Node** slot, Scope scope, const Cte* ctes, const EachColumn& each);

}  // namespace millrace::optimizer
