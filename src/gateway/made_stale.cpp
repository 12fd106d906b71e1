#include "gateway/made_stale.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace millrace::gateway {

namespace {

using catalog::Oid;
using integration::Change;
using integration::Row;
using integration::RowValues;
using integration::Table;
using integration::pgoutput::OldRow;
using integration::pgoutput::ValueKind;
using pipeline::ReadCache;

/// Of one column in one transaction; more are told as not known.
constexpr std::size_t most_values = 4096;

/// Whether the names of the columns mean what they do in the catalog: its columns, some perhaps left out (generated
/// ones aren't told), in their order, so that two which have changed names are seen.
bool is_as_known(const Table& told, const catalog::Snapshot& snapshot) {
  const auto* known = snapshot.find(told.oid);
  if (known == nullptr) return false;
  auto at = known->columns.begin();
  return std::ranges::all_of(told.columns, [&](const Table::Column& column) {
    at = std::find_if(at, known->columns.end(), [&](const catalog::Column& other) {
      return other.name == column.name && other.type == column.type;
    });
    if (at == known->columns.end()) return false;
    ++at;
    return true;
  });
}

/// The values that a column had and has; or that they aren't known.
class ColumnChanges {
 public:
  ColumnChanges(std::vector<Oid> tables, std::string column, std::optional<std::size_t> place)
      : tables_(std::move(tables)), column_(std::move(column)), place_(place) {}

  void add(const Change& change, RowValues& row_values) {
    const auto old = place_ ? row_values.follow(change, *place_) : std::nullopt;
    if (!known_) return;
    known_ = place_ && add_new(change, old) && add_old(change, old) && values_.size() <= most_values;
  }

  void tell(std::vector<cache::Dependency>& to, std::string_view database) {
    std::ranges::sort(values_);
    const auto twice = std::ranges::unique(values_);
    values_.erase(twice.begin(), twice.end());
    for (const Oid table : tables_) {
      if (!known_) {
        to.push_back(ReadCache::of_unknown_values(database, table, column_));
        continue;
      }
      for (const auto value : values_) to.push_back(ReadCache::of_value(database, table, column_, value));
    }
  }

 private:
  void add_value(RowValues::Value value) {
    if (value != RowValues::null && (values_.empty() || values_.back() != value)) values_.push_back(value);
  }
  /// False: the value isn't told.
  bool add_value(const Row& row) {
    if (*place_ >= row.size()) return false;
    switch (row.kind(*place_)) {
      case ValueKind::null:  // which is equal to nothing
        return true;
      case ValueKind::text:
        add_value(RowValues::value_of(row.value(*place_)));
        return true;
      case ValueKind::unchanged:
      case ValueKind::binary:
        return false;
    }
    return false;
  }

  bool add_new(const Change& change, std::optional<RowValues::Value> old) {
    if (change.kind == Change::Kind::delete_) return true;
    // Large and as it was: the old row says what, if it is known.
    const bool as_it_was = change.kind == Change::Kind::update && (old || change.old_kind == OldRow::full) &&
                           *place_ < change.row.size() && change.row.kind(*place_) == ValueKind::unchanged;
    return as_it_was || add_value(change.row);
  }

  bool add_old(const Change& change, std::optional<RowValues::Value> old) {
    if (change.kind == Change::Kind::insert) return true;
    if (old) {
      add_value(*old);
      return true;
    }
    switch (change.old_kind) {
      case OldRow::full:
        return add_value(change.old_row);
      case OldRow::key:  // what isn't in it is said to be NULL
        return in_identity(change) && add_value(change.old_row);
      case OldRow::none:  // the identity is as it was
        return change.kind == Change::Kind::update && in_identity(change) && change.table->replica_identity != 'f';
    }
    return false;
  }

  bool in_identity(const Change& change) const {
    return *place_ < change.table->columns.size() && change.table->columns[*place_].in_identity;
  }

  std::vector<Oid> tables_;  ///< that have the column, and in which it is tracked
  std::string column_;
  std::optional<std::size_t> place_;  ///< in the table that has changed; null: it isn't told
  bool known_ = true;
  std::vector<RowValues::Value> values_;
};

/// The rows of one table that a transaction has changed.
class TableChanges {
 public:
  TableChanges(const Table& told, std::string_view database, const catalog::Snapshot& snapshot,
               const pipeline::TrackedColumns& tracked, RowValues& row_values) {
    if (!is_as_known(told, snapshot)) {
      known_ = false;
      return;
    }
    std::vector<Oid> tables;
    add_with_ancestors(tables, told.oid, &snapshot);
    std::map<std::string, std::vector<Oid>> by_column;
    for (const Oid table : tables) {
      for (auto& column : tracked.of(database, table)) by_column[std::move(column)].push_back(table);
    }
    std::vector<std::string> followed;
    for (auto& [column, of] : by_column) {
      const auto at = std::ranges::find(told.columns, column, &Table::Column::name);
      const auto place =
          at == told.columns.end() ? std::nullopt : std::optional(static_cast<std::size_t>(at - told.columns.begin()));
      columns_.emplace_back(std::move(of), column, place);
      if (place) followed.push_back(column);
    }
    row_values.keep_only(told.oid, followed);
  }

  /// False: which rows they are isn't known.
  bool known() const { return known_; }
  void add(const Change& change, RowValues& row_values) {
    for (auto& column : columns_) column.add(change, row_values);
  }
  void tell(std::vector<cache::Dependency>& to, std::string_view database) {
    for (auto& column : columns_) column.tell(to, database);
  }

 private:
  bool known_ = true;
  std::vector<ColumnChanges> columns_;
};

}  // namespace

void add_with_ancestors(std::vector<Oid>& tables, Oid table, const catalog::Snapshot* snapshot) {
  if (std::ranges::find(tables, table) != tables.end()) return;
  tables.push_back(table);
  const auto* relation = snapshot == nullptr ? nullptr : snapshot->find(table);
  if (relation == nullptr) return;
  for (const Oid parent : relation->parents) add_with_ancestors(tables, parent, snapshot);
}

std::vector<cache::Dependency> made_stale_by(const integration::Transaction& done, std::string_view database,
                                             const catalog::Snapshot* snapshot, const pipeline::TrackedColumns& tracked,
                                             RowValues& row_values) {
  if (done.everything) {
    row_values.forget_all();
    return {ReadCache::of_everything(database)};
  }
  row_values.described(done);
  // By how the table was described, which may change within a transaction.
  std::map<const Table*, TableChanges> changes;
  std::vector<Oid> by_value;  ///< tables of which rows are told
  if (snapshot != nullptr && done.all_changes) {
    for (const auto& change : done.changes) {
      const auto& table = *change.table;
      auto at = changes.find(&table);
      if (at == changes.end()) {
        at = changes.emplace(&table, TableChanges(table, database, *snapshot, tracked, row_values)).first;
        by_value.push_back(table.oid);
      }
      at->second.add(change, row_values);
    }
  }
  for (const auto& [table, rows] : changes) {
    if (!rows.known()) std::erase(by_value, table->oid);
  }
  std::vector<cache::Dependency> stale;
  std::vector<Oid> touched, unknown;
  for (const Oid table : done.tables) {
    add_with_ancestors(touched, table, snapshot);
    const bool is_told =
        std::ranges::find(by_value, table) != by_value.end() && !std::ranges::binary_search(done.truncated, table);
    if (is_told) continue;
    row_values.forget(table);
    add_with_ancestors(unknown, table, snapshot);
  }
  for (const Oid table : touched) stale.push_back(ReadCache::of_table(database, table));
  for (const Oid table : unknown) stale.push_back(ReadCache::of_unknown_rows(database, table));
  for (auto& [table, rows] : changes) rows.tell(stale, database);
  return stale;
}

pipeline::Changes changed_by_written(std::span<const Oid> relations, const catalog::Snapshot& known) {
  pipeline::Changes changes;
  for (const Oid oid : relations) {
    const auto* const relation = known.find(oid);
    const bool has_rows = relation != nullptr && std::string_view("rpmfS").contains(relation->kind);
    if (!has_rows) changes.everything = true;
    add_with_ancestors(changes.tables, oid, &known);
  }
  return changes;
}

}  // namespace millrace::gateway
