#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "catalog/snapshot.hpp"
#include "optimizer/session.hpp"
#include "optimizer/tree.hpp"

namespace millrace::optimizer {

using catalog::Oid;

namespace type {
constexpr Oid boolean = 16, int8 = 20, int2 = 21, int4 = 23, text = 25, float4 = 700, float8 = 701, unknown = 705,
              bpchar = 1042, varchar = 1043, date = 1082, timestamp = 1114, timestamptz = 1184, interval = 1186,
              numeric = 1700, uuid = 2950;
constexpr bool is_integer(Oid oid) { return oid == int2 || oid == int4 || oid == int8; }
constexpr bool is_text(Oid oid) { return oid == text || oid == varchar; }
}  // namespace type

struct Level;

/// What an expression at a place may name: the level's sources from `begin` to `end`, and what stands around it.
struct Scope {
  const Level* level = nullptr;
  std::size_t begin = 0, end = SIZE_MAX;
};

struct SourceColumn {
  std::string name = {};
  Oid type = 0;  ///< 0: not known
  Oid collation = 0;
  bool not_null = false;      ///< in the source itself; its level may be one that adds rows of NULLs
  bool has_modifier = false;  ///< see catalog::Column
  /// A table holds it, or it is a constant: to ask for it can't fail, of whichever rows. What a sub-query or a view
  /// gives otherwise is an expression, which PostgreSQL may evaluate where the column is named.
  bool is_held = false;
};

/// An item of FROM.
struct Source {
  std::string alias = {};
  /// Set only for a table whose declared keys and NOT NULLs hold of all that a SELECT from it reads.
  const catalog::Relation* table = nullptr;
  std::vector<SourceColumn> columns = {};
  bool known = false;     ///< all of its columns are known by name
  bool nullable = false;  ///< an outer join may put NULLs in its place
  bool inner = true;      ///< in an inner join or none, and above are but inner joins and left sides of LEFT JOINs
  const Node* node = nullptr;
};

struct Conjunct {
  const Node* node = nullptr;
  std::size_t begin = 0, end = SIZE_MAX;  ///< the sources that it may name
};

/// One SELECT's FROM and WHERE.
struct Level {
  Scope parent = {};
  const Select* select = nullptr;
  bool opaque = false;  ///< what isn't found in it may still be its own
  bool merges = false;  ///< NATURAL or USING: `*` isn't the columns of its sources in their order
  std::vector<Source> sources = {};
  /// Of WHERE, and of ON of inner joins on top: each is TRUE of every row that is left.
  std::vector<Conjunct> conjuncts = {};
};

struct Cte {
  std::string_view name = {};
  Select* query = nullptr;  ///< null: its columns aren't known
  Scope parent = {};
  const Cte* within = nullptr;  ///< what its query sees
  const Cte* next = nullptr;
  const PgQuery__CommonTableExpr* declared = nullptr;
};

struct Resolved {
  const Level* level = nullptr;
  const Source* source = nullptr;
  const SourceColumn* column = nullptr;
};

/// What a statement's names stand for, by the catalog. Deny by default: what isn't certain isn't resolved.
class Analysis {
 public:
  Analysis(const catalog::Snapshot& snapshot, const Session& session) : snapshot_(snapshot), session_(session) {}

  const catalog::Snapshot& snapshot() const { return snapshot_; }
  const Session& session() const { return session_; }

  const Level& level_of(const Select* select, Scope parent, const Cte* ctes);
  /// The CTEs that a SELECT sees: its own before what it is given.
  const Cte* ctes_of(const Select* select, Scope parent, const Cte* outer);

  std::optional<Resolved> resolve(const PgQuery__ColumnRef* reference, Scope scope) const;
  std::optional<Resolved> column(const Node* node, Scope scope) const;

  /// All of the name are PostgreSQL's own, or stand between types of others.
  bool plain_operator(std::string_view name) const;
  bool plain_function(std::string_view name) const;
  /// 0: not one of PostgreSQL's own, or not certainly.
  Oid plain_type(const PgQuery__TypeName* name) const;
  const catalog::Relation* relation_of(const PgQuery__RangeVar* range) const;

 private:
  void add_from(Level& level, const Node* item, const Cte* ctes, bool nullable, bool inner);
  void add_join(Level& level, const PgQuery__JoinExpr* join, const Cte* ctes, bool nullable, bool inner);
  void fill_table(Source& source, const PgQuery__RangeVar* range, const Cte* ctes);
  bool declared_holds(const catalog::Relation& relation) const;
  std::optional<std::vector<SourceColumn>> output_of(const Select* select, Scope parent, const Cte* ctes);
  std::optional<std::vector<SourceColumn>> targets_of(const Select* select, Scope scope);

  const catalog::Snapshot& snapshot_;
  const Session& session_;
  std::deque<Level> levels_;
  std::deque<Cte> ctes_;
  boost::unordered_flat_map<const Select*, const Level*> known_;
  boost::unordered_flat_map<const Select*, const Cte*> known_ctes_;
};

/// The conjuncts of a condition, those of nested ANDs too.
void conjuncts_of(const Node* condition, std::vector<const Node*>& into);
std::vector<const Node*> conjuncts_of(const Node* condition);

}  // namespace millrace::optimizer
