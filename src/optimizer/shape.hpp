#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "optimizer/rule.hpp"

namespace millrace::optimizer {

// What rules do to a SELECT as a whole.

/// SELECT DISTINCT, without ON.
bool is_plain_distinct(const Select* select);

/// A type whose `=` and `<>` are those of its order, or its hashes: not so of boxes, of which `=` compares the areas.
bool has_equality(const Analysis& analysis, Oid type);

/// Whether DISTINCT and UNION can compare what is in its list: of json they can't, and that is an error.
bool can_be_distinct(const Analysis& analysis, const Select* select, const Level& level);

bool holds_sub_query(const Node* node);

/// All under UNION ALL, which makes one SELECT of them; they are at least one.
Select* union_all(Tree& tree, std::span<Select* const> branches);

/// An item of GROUP BY, or of ORDER BY: itself, or what stands at that place in the list. Null: there is none.
const Node* grouped_by(const Select* select, const Node* item);

/// A sub-query for one value, in WHERE or in the list.
struct ScalarSubQuery {
  Node** slot = nullptr;
  PgQuery__ResTarget* target = nullptr;  ///< null: in WHERE

  Select* select() const { return (*slot)->sub_link->subselect->select_stmt; }
};
/// Those of a SELECT's own level.
std::vector<ScalarSubQuery> scalar_sub_queries(Select* select);

/// `source.name`
Node* column_of(Tree& tree, std::string_view source, std::string_view name);
/// `value AS name`, for a SELECT's list.
Node* listed_as(Tree& tree, Node* value, std::string_view name);

/// AND of all; null: of none.
Node* and_of(Tree& tree, std::span<Node* const> conditions);
Node* and_of(Tree& tree, Node* first, Node* second);

/// A sub-query's rows without their columns: its copy, with `condition` beside its WHERE (null: none); not what it is
/// of.
Node* exists(Tree& tree, const Select* select, Node* condition);
Node* negated(Tree& tree, Node* condition);

/// `alias.name` of a column, if that means the same at `place` and in a SELECT in it that has `inside` for its sources.
/// Null: it doesn't.
Node* qualified(Tree& tree, const Analysis& analysis, const Resolved& column, Scope scope, const Level* inside);

/// Takes a source out of FROM, which must be under inner joins only, with those conjuncts of its level. What else the
/// joins say goes to WHERE.
void remove_source(Tree& tree, Select* select, const Node* source, std::span<const Node* const> conjuncts);

/// Takes conjuncts of its level out of WHERE and of the conditions of inner joins.
void remove_conjuncts(Tree& tree, Select* select, std::span<const Node* const> conjuncts);

/// How often a SELECT names each source of its level in it, also in sub-queries; nullopt: not certain, by what isn't.
std::optional<std::vector<std::pair<const Source*, Node**>>> uses_of(const Site& site, Select* select);

/// Whether the statement names the column of that table somewhere, `*` too: then whoever runs it may read it.
bool is_named(const Site& site, const Source& source, const SourceColumn& column);

/// Whether no two rows of the SELECT's FROM and WHERE are equal in all of `columns`: each source has a key of NOT NULL
/// columns that they determine, directly, or by what the conditions say is equal. If not: `missing` says what.
bool are_unique(Analysis& analysis, const Level& level, std::span<const Resolved> columns, std::string& missing);

/// The columns in a SELECT's list that are no more than that, those of `*` too; nullopt: a `*` isn't certain.
std::optional<std::vector<Resolved>> columns_in_list(const Analysis& analysis, const Select* select,
                                                     const Level& level);

}  // namespace millrace::optimizer
