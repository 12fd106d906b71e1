#include "pipeline/cacheability.hpp"

#include <algorithm>
#include <array>

#include <boost/container_hash/hash.hpp>

#include "pipeline/known_results.hpp"
#include "pipeline/type_rules.hpp"

namespace millrace::pipeline {

namespace {

using catalog::Oid;
using catalog::Relation;
using sql::Name;
using sql::References;

constexpr int kMaxDepthOfViews = 16;

std::string show(const Name& name) { return name.schema.empty() ? name.name : name.schema + "." + name.name; }
std::string show(const Relation& relation) { return relation.schema + "." + relation.name; }

bool is_system_schema(std::string_view schema) {
  return schema == "pg_catalog" || schema == "information_schema" || schema.starts_with("pg_toast");
}

/// "CURRENT_DATE": "current_date".
std::string code_of(std::string_view words) {
  std::string code;
  for (const char c : words) {
    if (c >= 'A' && c <= 'Z')
      code += static_cast<char>(c - 'A' + 'a');
    else
      code += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
  }
  return code;
}

/// Names that PostgreSQL gives to columns of a subquery that have none.
bool is_given_to_expressions(std::string_view column) {
  constexpr auto kNames = std::to_array<std::string_view>(
      {"array", "case", "coalesce", "exists", "greatest", "grouping", "least", "nullif", "row"});
  return std::ranges::binary_search(kNames, column) || column.starts_with("column") || column == "?column?";
}

class Inspection {
 public:
  Inspection(const catalog::Snapshot& snapshot, std::span<const std::string> search_path)
      : snapshot_(snapshot), search_path_(search_path) {}

  Cacheable of(const sql::Statement& statement) && {
    result_ = cacheability_by_text(statement);
    if (snapshot_.has_unsafe_casts) refuse("casts", "may call a cast of a user's that isn't immutable");
    if (result_()) names(*statement.references, search_path_, 0);
    if (!result_.code.empty()) result_.reads.clear();
    std::ranges::sort(result_.reads);
    const auto twice = std::ranges::unique(result_.reads);
    result_.reads.erase(twice.begin(), twice.end());
    return std::move(result_);
  }

 private:
  /// The first reason stays.
  bool refuse(std::string_view code, std::string why) {
    if (result_.code.empty()) {
      result_.code = code;
      result_.why_not = std::move(why);
    }
    return false;
  }

  /// What the statement or a view's definition names.
  bool names(const References& references, std::span<const std::string> path, int depth) {
    std::vector<const Relation*> relations;
    return std::ranges::all_of(references.functions, [&](const Name& name) { return function(name); }) &&
           std::ranges::all_of(references.operators, [&](const Name& name) { return operator_(name); }) &&
           std::ranges::all_of(references.types, [&](const Name& name) { return type(name); }) &&
           std::ranges::all_of(references.fields, [&](const std::string& name) { return field(name); }) &&
           std::ranges::all_of(references.reads,
                               [&](const Name& name) { return read(name, references, path, depth, relations); }) &&
           std::ranges::all_of(references.to_moments,
                               [&](const std::string& of) { return moment(of, references, relations); });
  }

  bool function(const Name& name) {
    const auto* functions = snapshot_.functions(name.name);
    if (functions == nullptr) return refuse("unknown_function", "calls " + show(name) + "(), which isn't known");
    if (is_not_as_declared(name.name)) {
      return refuse("function", "calls " + show(name) + "(), which reads more than its arguments");
    }
    if (functions->volatility == 'i') return true;
    const bool stable = functions->volatility == 's';
    if (stable && functions->all_immutable_or_built_in && depends_on_settings_only(name.name)) return true;
    return refuse(stable ? "stable_function" : "volatile_function",
                  "calls " + show(name) + "(), which is " + (stable ? "stable" : "volatile"));
  }

  bool operator_(const Name& name) {
    const auto* operators = snapshot_.operators(name.name);
    if (operators == nullptr) {
      return refuse("unknown_operator", "uses the operator " + show(name) + ", which isn't known");
    }
    if (operators->volatility == 'i') return true;
    // PostgreSQL's own that are stable depend on settings: a day's length on TimeZone, @@ on a configuration.
    if (operators->volatility == 's' && operators->all_immutable_or_built_in) return true;
    return refuse("operator", "uses the operator " + show(name) + ", which isn't immutable");
  }

  bool type(const Name& name) {
    if (snapshot_.types(name.name).empty()) {
      return refuse("unknown_type", "names the type " + show(name) + ", which isn't known");
    }
    if (all_types(name, snapshot_, is_plain)) return true;
    return refuse("type", "names the type " + show(name) + ", which isn't a plain one");
  }

  bool field(const std::string& name) {
    const auto* functions = snapshot_.functions(name);
    if (functions == nullptr || !(functions->of_rows || looks_into_values(name))) return true;
    return refuse("field", "names " + name + ", which may be a function of a row");
  }

  bool read(const Name& name, const References& references, std::span<const std::string> path, int depth,
            std::vector<const Relation*>& relations) {
    if (is_system_schema(name.schema) || (name.schema.empty() && name.name.starts_with("pg_"))) {
      return refuse("system_catalog", "reads " + show(name) + ", a system catalog");
    }
    const auto* found = snapshot_.resolve(name, path);
    if (found == nullptr) {
      // Of a WITH clause; unless there is a table of this name of which it isn't certain whether it is meant.
      const bool other =
          std::ranges::any_of(path, [&](const auto& schema) { return snapshot_.find(schema, name.name) != nullptr; });
      if (name.schema.empty() && !other && std::ranges::binary_search(references.with, name.name)) return true;
      return refuse("unknown_relation", "the name " + show(name) + " isn't known");
    }
    relations.push_back(found);
    return relation(*found, depth);
  }

  bool relation(const Relation& relation, int depth) {
    if (is_system_schema(relation.schema)) {
      return refuse("system_catalog", "reads " + show(relation) + ", a system catalog");
    }
    switch (relation.kind) {
      case 'r':
      case 'p':
        return table(relation);
      case 'm':
        return part(relation) && columns(relation) && depends_on(relation.oid);
      case 'v':
        return row_security(relation) && columns(relation) && view(relation, depth);
      case 'f':
        return refuse("foreign_table", "reads " + show(relation) + ", a foreign table");
      case 'S':
        return refuse("sequence", "reads " + show(relation) + ", a sequence");
      default:
        return refuse("relation_kind", "reads " + show(relation) + ", which isn't a table or view");
    }
  }

  bool table(const Relation& relation) {
    for (const Oid oid : snapshot_.read_with(relation.oid)) {
      const auto* below = snapshot_.find(oid);
      if (below == nullptr) return refuse("unknown_relation", "a part of " + show(relation) + " isn't known");
      if (below->kind == 'f') return refuse("foreign_table", "reads " + show(*below) + ", a foreign table");
      if (below->kind != 'r' && below->kind != 'p') {
        return refuse("relation_kind", "reads " + show(*below) + ", which isn't a table");
      }
      if (!part(*below)) return false;
      if (below->has_rules) return refuse("rules", "reads " + show(*below) + ", which has rules");
      depends_on(oid);
    }
    return columns(relation);
  }

  bool part(const Relation& relation) {
    if (relation.persistence != 'p' && relation.persistence != 'u') {
      return refuse("temporary", "reads " + show(relation) + ", a temporary table");
    }
    return row_security(relation);
  }

  bool row_security(const Relation& relation) {
    if (!relation.row_security) return true;
    return refuse("row_security", "reads " + show(relation) + ", which is under row security");
  }

  bool depends_on(Oid oid) {
    result_.reads.push_back(oid);
    return true;
  }

  bool columns(const Relation& relation) {
    for (const auto& column : relation.columns) {
      const auto* type = snapshot_.type(column.type);
      if (type != nullptr && is_plain(*type, snapshot_)) continue;
      return refuse("type", "reads " + show(relation) + ", whose column " + column.name + " is of the type " +
                                (type != nullptr ? type->name : std::to_string(column.type)));
    }
    return true;
  }

  bool view(const Relation& relation, int depth) {
    if (std::ranges::find(views_, relation.oid) != views_.end()) return true;
    views_.push_back(relation.oid);
    if (relation.definition == nullptr) return refuse("view", "reads " + show(relation) + ", a view that isn't known");
    if (depth == kMaxDepthOfViews) return refuse("view", "reads views of views, too deep");
    if (!relation.definition->not_known.empty()) {
      return refuse(code_of(relation.definition->not_known),
                    "reads " + show(relation) + ", which holds " + relation.definition->not_known);
    }
    if (!relation.definition->writes.empty()) return refuse("writes", "reads " + show(relation) + ", which writes");
    return names(*relation.definition, {}, depth + 1);
  }

  /// Text of a table's that becomes a date may say 'now'.
  bool moment(const std::string& of, const References& references, const std::vector<const Relation*>& relations) {
    if (gives_no_text(of, references, relations)) return true;
    return refuse("text_to_time", "makes a date or time of " + (of.empty() ? "an expression" : of) +
                                      ", which may be text that says 'now'");
  }

  bool gives_no_text(const std::string& of, const References& references,
                     const std::vector<const Relation*>& relations) {
    if (of.empty()) return false;
    if (of.ends_with("()")) {
      const auto name = std::string_view(of).substr(0, of.size() - 2);
      const auto* functions = snapshot_.functions(name);
      return never_gives_text(name) && functions != nullptr && functions->built_in;
    }
    if (of == "+" || of == "-") {
      const auto* operators = snapshot_.operators(of);
      return operators != nullptr && operators->built_in;
    }
    if (of.starts_with("::")) return all_types({"", of.substr(2)}, snapshot_, is_moment);
    return is_column_of_moments(of, references, relations);
  }

  /// Whether the name can't but be a column of one of the relations, and that is no text.
  bool is_column_of_moments(const std::string& name, const References& references,
                            const std::vector<const Relation*>& relations) {
    const auto renamed = [&](const std::string& to) { return std::ranges::binary_search(references.renames, to); };
    if (renamed("") || renamed(name) || is_given_to_expressions(name)) return false;
    // A subquery's column has the name of the function or type that it comes from.
    if (snapshot_.functions(name) != nullptr && !never_gives_text(name)) return false;
    if (!snapshot_.types(name).empty() && !all_types({"", name}, snapshot_, is_moment)) return false;
    bool found = false;
    for (const auto* relation : relations) {
      for (const auto& column : relation->columns) {
        if (column.name != name) continue;
        const auto* type = snapshot_.type(column.type);
        if (type == nullptr || !is_moment(*type, snapshot_)) return false;
        found = true;
      }
    }
    return found;
  }

  const catalog::Snapshot& snapshot_;
  std::span<const std::string> search_path_;
  Cacheable result_;
  std::vector<Oid> views_;  ///< that were seen
};

}  // namespace

Cacheable cacheability_by_text(const sql::Statement& statement) {
  const auto refuse = [](std::string_view code, std::string why) {
    return Cacheable{.why_not = std::move(why), .code = std::string(code), .reads = {}};
  };
  if (statement.kind != sql::StatementKind::select || statement.statements != 1) {
    return refuse("not_a_select", "isn't one SELECT");
  }
  if (statement.references == nullptr) return refuse("not_a_select", "isn't a plain SELECT");
  const References& references = *statement.references;
  if (!references.not_known.empty()) {
    return refuse(code_of(references.not_known), "holds " + references.not_known);
  }
  if (!references.writes.empty()) return refuse("writes", "writes " + show(references.writes.front()));
  if (!statement.changes.empty() || !statement.other_settings.empty() || !statement.steps.empty() ||
      statement.in_transaction_block_only || statement.affects_new_sessions || statement.copies_in) {
    return refuse("session", "changes the session");
  }
  if (statement.uses_sequence_state) return refuse("sequence_state", "reads what the session did to a sequence");
  if (statement.writes) return refuse("writes", "calls a function that writes or locks");
  return {};
}

MeantByNames meant_by_names(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                            std::span<const std::string> search_path) {
  std::size_t number = 0;
  bool hides_another = false;
  for (const auto& name : statement.references->reads) {
    const auto* relation = snapshot.resolve(name, search_path);
    boost::hash_combine(number, relation == nullptr ? Oid{0} : relation->oid);
    hides_another |= name.schema.empty() && std::ranges::count_if(search_path, [&](const auto& schema) {
                                              return snapshot.find(schema, name.name) != nullptr;
                                            }) > 1;
  }
  return {.number = number == 0 ? 1 : number, .hides_another = hides_another};
}

Cacheable cacheability(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                       std::span<const std::string> search_path) {
  return Inspection(snapshot, search_path).of(statement);
}

}  // namespace millrace::pipeline
