#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "optimizer/scope.hpp"

namespace millrace::optimizer {

/// A literal, perhaps cast, other than NULL.
struct Constant {
  enum class Kind : std::uint8_t { integer, decimal, string, boolean };
  Kind kind = Kind::integer;
  std::string text;        ///< as it is written, without quotes; "t", "f"
  std::int64_t value = 0;  ///< of an integer within four bytes
  Oid type = 0;            ///< type::unknown: a string that becomes what it is compared with
};
/// Casts to PostgreSQL's own types only. Nullopt: not a literal, or NULL.
std::optional<Constant> constant_of(const Analysis& analysis, const Node* node);
bool is_null_constant(const Node* node);
std::optional<bool> boolean_constant(const Node* node);

/// The type of what a rule may ask of; 0: not known.
Oid type_of(const Analysis& analysis, const Node* node, Scope scope);

/// The name of an operator without a schema. Empty: it has one.
std::string_view operator_name(const PgQuery__AExpr* expression);
/// One of "=", "<>", "<", "<=", ">", ">=", without a schema. Empty: it is another.
std::string_view comparison_name(const PgQuery__AExpr* expression);

/// A comparison by one of PostgreSQL's own operators; `name`: "=", "<>", "<", "<=", ">", ">=". Null: something else.
struct Comparison {
  std::string_view name;
  Node* left = nullptr;
  Node* right = nullptr;
};
std::optional<Comparison> comparison_of(const Analysis& analysis, const Node* node);
/// The same with a literal on its right, turned round if need be.
struct Bound {
  std::string_view name;
  Node* value = nullptr;
  Node* literal = nullptr;
  Constant constant;
};
std::optional<Bound> bound_of(const Analysis& analysis, const Node* node);
std::string_view turned(std::string_view comparison);

/// A plain call of PostgreSQL's own function with so many arguments: no DISTINCT, FILTER, OVER and so on.
const PgQuery__FuncCall* call_of(const Analysis& analysis, const Node* node, std::string_view name,
                                 std::size_t arguments);
/// An operator of two sides with this name, PostgreSQL's own.
const PgQuery__AExpr* operator_of(const Analysis& analysis, const Node* node, std::string_view name);
const PgQuery__BoolExpr* bool_of(const Node* node, PgQuery__BoolExprType kind);
/// `*`, `t.*`, `s.t.*` of a list. May be given null.
bool is_star(const Node* node);
/// `*` alone.
bool is_bare_star(const Node* node);
/// As PostgreSQL names a column of a list, where that is simple. Empty: not certain.
std::string output_name(const PgQuery__ResTarget* target);
/// Whether an item of ORDER BY is a name of a column of the list.
bool is_output_name(const Select* select, const Node* node);
/// A SELECT from FROM with WHERE and a list, and nothing else: no grouping, DISTINCT, LIMIT, ORDER BY, WITH, ...
bool is_simple(const Select* select);
/// A call of one of PostgreSQL's own functions that are known to make one value of one row.
bool is_scalar_call(const Analysis& analysis, const Node* node);
/// Each item of its list is one value of one row, as far as is certain: no aggregate, no function that makes rows.
bool has_only_scalars(const Analysis& analysis, const Select* select, Scope scope);
/// ROLLUP and its kin: they put NULLs in columns' place.
bool has_grouping_sets(const Select* select);

/// Whether it is certainly not NULL in the rows that the conjuncts of its level leave.
bool not_null(const Analysis& analysis, const Node* node, Scope scope, bool by_conjuncts = true);

/// Equal by `=` means the same bytes: for text, that its collation is a deterministic one that every database has.
bool equal_is_same(const Resolved& column);

/// Equal values of the column are the same, so it doesn't matter which of them is given for all: numerics, too, if they
/// have one scale.
bool one_of_equals(const Resolved& column);

/// Of a type that has an order by `<`, in which what is equal is so by all of its operators.
bool has_default_order(const Resolved& column);

/// Messages for people: schema-less, as they know it.
std::string name_of(const Resolved& column);

}  // namespace millrace::optimizer
