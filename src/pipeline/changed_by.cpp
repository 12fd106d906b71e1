#include <algorithm>

#include "pipeline/cacheability.hpp"
#include "pipeline/known_results.hpp"

namespace millrace::pipeline {

namespace {

using catalog::Oid;
using sql::Name;
using sql::References;

constexpr int kMaxDepthOfViews = 16;

/// Whether making a value of it calls nothing of a user's: a domain may lie in arrays and rows.
bool checks_nothing(const catalog::Type& type, const catalog::Snapshot& snapshot) {
  if (type.element != 0 && type.category == 'A') {
    const auto* element = snapshot.type(type.element);
    return element != nullptr && element->category != 'A' && checks_nothing(*element, snapshot);
  }
  return type.built_in || type.kind == 'e';
}

/// Whether nothing that is called while the statement runs can change rows, other than the statement's own targets.
class Calls {
 public:
  Calls(const catalog::Snapshot& snapshot, std::span<const std::string> search_path)
      : snapshot_(snapshot), search_path_(search_path) {}

  bool are_harmless(const References& references) { return names(references, search_path_, 0); }
  /// And none is volatile, and no view locks rows.
  bool only_read(const References& references) {
    only_reads_ = true;
    return are_harmless(references);
  }
  /// But for relations that it reads itself and that aren't known: there is one at least.
  bool are_harmless_but_for_relations(const References& references) {
    passes_unknown_ = true;
    return are_harmless(references) && passed_unknown_;
  }

 private:
  bool names(const References& references, std::span<const std::string> path, int depth) {
    // In a view, a lock may be hidden behind what else isn't known.
    if (!references.not_known.empty() && (!references.only_clock || (only_reads_ && depth > 0))) return false;
    return std::ranges::all_of(references.functions, [&](const Name& name) { return function(name.name); }) &&
           std::ranges::all_of(references.operators, [&](const Name& name) { return operator_(name.name); }) &&
           std::ranges::all_of(references.types, [&](const Name& name) { return type(name.name); }) &&
           std::ranges::all_of(references.fields, [&](const std::string& name) { return field(name); }) &&
           std::ranges::all_of(references.reads, [&](const Name& name) { return read(name, references, path, depth); });
  }

  bool function(std::string_view name) const {
    const auto* functions = snapshot_.functions(name);
    if (functions == nullptr || (only_reads_ && functions->volatility == 'v')) return false;
    // What is built in and isn't volatile can't change rows itself; but what runs a query may call others.
    if (functions->built_in && functions->volatility != 'v' && !name.contains("_to_xml")) return true;
    return functions->volatility == 'i' || (functions->all_immutable_or_built_in && changes_no_rows(name));
  }

  bool operator_(std::string_view name) const {
    const auto* operators = snapshot_.operators(name);
    return operators != nullptr && (operators->volatility == 'i' || operators->all_immutable_or_built_in);
  }

  /// A domain's constraints may call anything.
  bool type(std::string_view name) const {
    const auto types = snapshot_.types(name);
    return !types.empty() &&
           std::ranges::all_of(types, [this](const auto& type) { return checks_nothing(type, snapshot_); });
  }

  bool field(std::string_view name) const {
    const auto* functions = snapshot_.functions(name);
    return functions == nullptr || !functions->of_rows;
  }

  bool read(const Name& name, const References& references, std::span<const std::string> path, int depth) {
    const auto* relation = snapshot_.resolve(name, path);
    if (relation == nullptr) {
      const bool other =
          std::ranges::any_of(path, [&](const auto& schema) { return snapshot_.find(schema, name.name) != nullptr; });
      if (name.schema.empty() && !other && std::ranges::binary_search(references.with, name.name)) return true;
      passed_unknown_ |= passes_unknown_ && depth == 0;
      return passes_unknown_ && depth == 0;
    }
    for (const Oid oid : snapshot_.read_with(relation->oid)) {
      const auto* below = snapshot_.find(oid);
      // A policy may call anything; so may what reads elsewhere.
      if (below == nullptr || below->row_security || below->kind == 'f') return false;
    }
    if (relation->kind != 'v') return true;
    if (std::ranges::find(views_, relation->oid) != views_.end()) return true;
    views_.push_back(relation->oid);
    return relation->definition != nullptr && relation->definition->writes.empty() && depth < kMaxDepthOfViews &&
           names(*relation->definition, {}, depth + 1);
  }

  const catalog::Snapshot& snapshot_;
  std::span<const std::string> search_path_;
  std::vector<Oid> views_;
  bool passes_unknown_ = false, passed_unknown_ = false, only_reads_ = false;
};

/// Of which only what it names can change anything.
bool is_known(const sql::Statement& statement) {
  using Kind = sql::StatementKind;
  if (statement.references == nullptr) return false;
  constexpr auto others = bit(Kind::empty) | bit(Kind::transaction) | bit(Kind::set) | bit(Kind::show) |
                          bit(Kind::deallocate) | bit(Kind::close_cursor) | bit(Kind::listen) | bit(Kind::unlisten) |
                          bit(Kind::notify) | bit(Kind::discard) | bit(Kind::lock);
  if ((statement.kinds & ~(sql::kinds_with_references | others)) != 0) return false;
  const bool sets = !statement.changes.empty() || !statement.other_settings.empty();
  // What its names mean may be set on the way.
  if (sets) return statement.references->writes.empty() && statement.references->reads.empty();
  constexpr auto writes =
      bit(Kind::insert) | bit(Kind::update) | bit(Kind::delete_) | bit(Kind::merge) | bit(Kind::copy_from);
  return (statement.kinds & writes) == 0 || !statement.references->writes.empty();
}

/// Whether the rows that come into the table are checked by something that may call anything.
bool has_domains(const catalog::Relation& table, const catalog::Snapshot& snapshot) {
  return std::ranges::any_of(table.columns, [&](const catalog::Column& column) {
    const auto* type = snapshot.type(column.type);
    return type == nullptr || !checks_nothing(*type, snapshot);
  });
}

}  // namespace

std::optional<std::vector<Oid>> changed_by(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                                           std::span<const std::string> search_path) {
  if (!is_known(statement) || snapshot.has_unsafe_casts) return std::nullopt;
  const References& references = *statement.references;
  if (!Calls(snapshot, search_path).are_harmless(references)) return std::nullopt;

  std::vector<Oid> changed;
  for (const auto& name : references.writes) {
    const auto* target = snapshot.resolve(name, search_path);
    if (target == nullptr || target->schema == "pg_catalog") return std::nullopt;
    const auto with = snapshot.changed_with(target->oid);
    if (!with) return std::nullopt;
    for (const Oid oid : *with) {
      const auto* table = snapshot.find(oid);
      if (table == nullptr || table->row_security || has_domains(*table, snapshot)) return std::nullopt;
      changed.push_back(oid);
    }
  }
  std::ranges::sort(changed);
  const auto twice = std::ranges::unique(changed);
  changed.erase(twice.begin(), twice.end());
  return changed;
}

bool lacks_only_relations(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                          std::span<const std::string> search_path) {
  return is_known(statement) && !snapshot.has_unsafe_casts && statement.references->writes.empty() &&
         Calls(snapshot, search_path).are_harmless_but_for_relations(*statement.references);
}

bool changes_nothing(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                     std::span<const std::string> search_path) {
  return statement.kind == sql::StatementKind::select && statement.statements == 1 && !statement.writes &&
         statement.changes.empty() && statement.other_settings.empty() && is_known(statement) &&
         statement.references->writes.empty() && !snapshot.has_unsafe_casts &&
         Calls(snapshot, search_path).only_read(*statement.references);
}

}  // namespace millrace::pipeline
