#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/session_defaults.hpp"
#include "sql/references.hpp"

namespace millrace::catalog {

using Oid = std::uint32_t;

/// Objects that are there from initdb on have smaller numbers (PostgreSQL: FirstNormalObjectId). What is built in means
/// this and the schema pg_catalog: extensions put their objects elsewhere, or have larger numbers.
constexpr Oid first_normal_oid = 16384;

struct Column {
  std::string name;
  Oid type = 0;
  bool not_null = false;
  Oid collation = 0;  ///< pg_attribute.attcollation; 0: its type has none
  /// It is declared with a length or precision: numeric(12, 2), whose values are all of one scale, and finite or NaN.
  bool has_modifier = false;
};

/// A validated foreign key that is checked at once, by triggers that are enabled: each row whose columns aren't NULL
/// has its row in `referenced`. None where a logical subscription may write without checking, nor where a cascade
/// changes rows of a table that has triggers or rules, or has relatives that have. Rows that were written while the
/// triggers were disabled can't be seen.
struct ForeignKey {
  std::vector<std::string> columns;
  Oid referenced = 0;
  std::vector<std::string> referenced_columns;  ///< in the same order
};

/// A table, partition, view, materialized view, foreign table, sequence or composite type. Not known are temporary
/// tables, indexes and what TOAST keeps.
struct Relation {
  Oid oid = 0;
  std::string schema, name;
  char kind = 'r';         ///< pg_class.relkind
  char persistence = 'p';  ///< p: permanent, u: unlogged
  bool row_security = false;
  bool has_rules = false;  ///< other than a view's own
  /// Of a user's, enabled or not, not those of foreign keys; or a default or check calls what may do anything.
  bool has_triggers = false;
  char replica_identity = 'd';
  std::vector<Column> columns;                 ///< without those that were dropped; in their order
  std::vector<std::vector<std::string>> keys;  ///< columns of each valid, unique, immediate, unconditional index on
                                               ///< columns only, without those that it merely includes; which
                                               ///< compares as the columns' own `=` does
  std::vector<ForeignKey> foreign_keys;        ///< those that certainly hold
  std::vector<Oid> parents;                    ///< partitioned table, or tables that it inherits from; direct ones
  std::vector<Oid> children;                   ///< direct ones
  std::vector<Oid> cascades;  ///< tables whose rows change when rows of this are deleted or updated (foreign keys)
  /// Of a view or materialized view: what its definition holds, all names with their schemas. Null: none, or it isn't
  /// known.
  std::shared_ptr<const sql::References> definition;
};

/// Of all functions, aggregates, window functions and procedures that have a name, in whatever schema: the worst.
struct Functions {
  char volatility = 'v';  ///< i: immutable, s: stable, v: volatile
  bool built_in = false;  ///< all of them
  bool all_immutable_or_built_in = false;
  bool of_rows = false;  ///< one that isn't built in takes a single row, so `t.name` may call it
  /// Of operators: each that isn't built in stands between types neither of which is built in.
  bool apart = false;
};

struct Type {
  Oid oid = 0;
  std::string schema, name;
  char kind = 'b';      ///< pg_type.typtype: b, c, d, e, p, r, m
  char category = 'U';  ///< pg_type.typcategory; A: array
  Oid element = 0;      ///< of an array
  bool built_in = false;
};

/// What a new session of a user in the database begins with, where it isn't the client's to say.
struct Defaults {
  std::string search_path;  ///< as SHOW says it: "$user" stays
  std::string isolation;    ///< default_transaction_isolation, in small letters
};

/// What one database's catalogs held, at one moment. Immutable; shared between threads.
class Snapshot {
 public:
  std::uint64_t version = 0;  ///< grows; two with one version are the same
  std::string server_version;
  SessionDefaults session_defaults;

  /// Null: none. `schema` must be given: see `resolve`.
  const Relation* find(std::string_view schema, std::string_view name) const;
  const Relation* find(Oid oid) const;
  std::span<const Relation> relations() const { return relations_; }

  /// What an unqualified name stands for in a session with these schemas in its search path, in their order ("$user" is
  /// to be replaced by then); pg_catalog comes first unless it is in the path. Temporary tables aren't known here:
  /// whoever has any must not ask.
  /// Null: none, or it isn't certain which. PostgreSQL passes by the schemas that the user has no USAGE of, which isn't
  /// known for each user: where two schemas have the name, and not everybody may use the first, either may be meant.
  const Relation* resolve(const sql::Name& name, std::span<const std::string> search_path) const;

  /// Null: none of this name.
  const Functions* functions(std::string_view name) const;
  /// Of all operators that have this name, in whatever schema, the functions behind them. Null: none.
  const Functions* operators(std::string_view name) const;
  /// All types of this name, in whatever schema; in the order of their oids. The row types of tables are among them.
  std::span<const Type> types(std::string_view name) const;
  const Type* type(Oid oid) const;

  /// A cast that isn't built in and whose function isn't immutable: what is cast where isn't seen in a text.
  bool has_unsafe_casts = false;
  /// A cast from one of PostgreSQL's types to another that isn't built in: it may stand for what would be done without.
  bool has_own_casts = false;

  /// Null where the role isn't known, or what it begins with can't be known: see `read_snapshot.hpp`.
  std::optional<Defaults> defaults(std::string_view user) const;
  bool has_schema(std::string_view name) const { return schemas_.contains(name); }

  /// All tables that a change of the table's rows may change for whoever reads them: the table itself, those above and
  /// below it, and the tables that foreign keys let follow, with those above and below them. Sorted. Null: it isn't a
  /// table or materialized view, or a trigger or a rule of one of them may change anything.
  std::optional<std::vector<Oid>> changed_with(Oid table) const;
  /// The table and those below it: what whoever reads it reads. Sorted.
  std::vector<Oid> read_with(Oid table) const;

 private:
  friend class SnapshotBuilder;

  /// Lets a string_view look up a string.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <typename T>
  using ByName = boost::unordered_flat_map<std::string, T, Hash, std::equal_to<>>;

  static std::string key_of(std::string_view schema, std::string_view name);

  std::vector<Relation> relations_;
  boost::unordered_flat_map<Oid, std::uint32_t> by_oid_;
  ByName<std::uint32_t> by_name_;  ///< schema, NUL, name
  ByName<Functions> functions_;
  ByName<Functions> operators_;
  std::vector<Type> types_;                                     ///< by their names, then oids
  boost::unordered_flat_map<Oid, std::uint32_t> types_by_oid_;  ///< places in types_
  ByName<Defaults> defaults_;
  ByName<bool> schemas_;  ///< whether everybody has USAGE
};

}  // namespace millrace::catalog
