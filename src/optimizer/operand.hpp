#pragma once

#include <string_view>

#include "optimizer/scope.hpp"

namespace millrace::optimizer {

/// What a comparison of something depends on, besides its value.
struct Operand {
  Oid type = 0;  ///< 0: not certain; type::unknown: a literal that becomes what it is compared with
  Oid collation = 0;
  bool is_parameter = false;  ///< of a type that the client may have declared
  bool is_small = false;      ///< a literal that is a number far from the ends of all types but smallint

  explicit operator bool() const { return type != 0 || is_parameter; }
};

/// Of an expression, and of aggregates and sub-queries for one value. Of whole numbers only that they are such.
Operand operand_of(Analysis& analysis, const Node* node, Scope scope, const Cte* ctes);

/// Comparing by `name` fails of no values of these types and collations. Not so numeric and float8, two collations of
/// which neither is the database's, oid and bigint, what a user's operator compares. Of parameters that are compared
/// with a bigint it is taken for granted that nobody declares them as oid.
bool compare_surely(const Analysis& analysis, std::string_view name, const Operand& a, const Operand& b);

/// `LIKE` does: not of collations that take for equal what isn't the same.
bool is_like_sure(const Operand& of);

/// Strings; parameters and literals may be.
bool is_string(const Operand& of);

}  // namespace millrace::optimizer
