#include "catalog/calls_only_built_in.hpp"

#include <algorithm>

namespace millrace::catalog {
namespace {

using sql::Name;
using sql::References;

constexpr int most_views = 16;  ///< within one another

class Inspection {
 public:
  explicit Inspection(const Snapshot& snapshot) : snapshot_(snapshot) {}

  bool of(const References& references, std::span<const std::string> path, int depth) const {
    const auto is_read = [&](const Name& name) { return of(name, references, path, depth); };
    return (references.not_known.empty() || references.only_clock) &&
           std::ranges::all_of(references.functions, [&](const Name& name) { return is_function(name.name); }) &&
           std::ranges::all_of(references.operators, [&](const Name& name) { return is_operator(name.name); }) &&
           std::ranges::all_of(references.types, [&](const Name& name) { return is_type(name.name); }) &&
           std::ranges::none_of(references.fields, [&](const auto& name) { return may_be_function_of_row(name); }) &&
           std::ranges::all_of(references.reads, is_read) && std::ranges::all_of(references.writes, is_read);
  }

 private:
  bool is_function(std::string_view name) const {
    const auto* functions = snapshot_.functions(name);
    return functions != nullptr && functions->built_in;
  }

  /// One between types of users' needs values of them, which no table that is read has.
  bool is_operator(std::string_view name) const {
    const auto* operators = snapshot_.operators(name);
    return operators != nullptr && (operators->built_in || operators->apart);
  }

  bool is_type(std::string_view name) const {
    const auto types = snapshot_.types(name);
    return !types.empty() && std::ranges::all_of(types, &Type::built_in);
  }

  bool may_be_function_of_row(std::string_view name) const {
    const auto* functions = snapshot_.functions(name);
    return functions != nullptr && functions->of_rows;
  }

  bool of(const Name& name, const References& references, std::span<const std::string> path, int depth) const {
    const Relation* const found = snapshot_.resolve(name, path);
    if (found != nullptr) return of(*found, depth);
    // Of a WITH clause; unless there is a table of this name of which it isn't certain whether it is meant.
    return name.schema.empty() && std::ranges::binary_search(references.with, name.name) &&
           std::ranges::none_of(path, [&](const auto& in) { return snapshot_.find(in, name.name) != nullptr; });
  }

  bool of(const Relation& relation, int depth) const {
    if (!is_plain(relation)) return false;
    if (relation.kind == 'v') {
      return relation.definition != nullptr && depth < most_views && of(*relation.definition, {}, depth + 1);
    }
    return std::ranges::all_of(snapshot_.read_with(relation.oid), [&](Oid oid) {
      const Relation* const part = snapshot_.find(oid);
      return part != nullptr && is_plain(*part) && !part->has_rules;
    });
  }

  bool is_plain(const Relation& relation) const {
    const bool may_be = relation.kind == 'r' || relation.kind == 'p' || relation.kind == 'm' || relation.kind == 'v';
    return may_be && !relation.row_security && std::ranges::all_of(relation.columns, [&](const Column& column) {
             const Type* const type = snapshot_.type(column.type);
             return type != nullptr && (type->built_in || type->kind == 'e');
           });
  }

  const Snapshot& snapshot_;
};

}  // namespace

bool calls_only_built_in(const sql::Statement& statement, const Snapshot& snapshot,
                         std::span<const std::string> search_path) {
  using enum sql::StatementKind;
  // The defaults of what is inserted are planned, too.
  const bool is_known = statement.kind == select || statement.kind == update || statement.kind == delete_;
  return is_known && statement.statements == 1 && statement.references != nullptr && !snapshot.has_own_casts &&
         Inspection(snapshot).of(*statement.references, search_path, 0);
}

}  // namespace millrace::catalog
