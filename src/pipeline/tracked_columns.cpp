#include "pipeline/tracked_columns.hpp"

#include <algorithm>

namespace millrace::pipeline {

std::optional<std::size_t> TrackedColumns::add(std::string_view database, catalog::Oid table, std::string_view column) {
  const std::lock_guard lock(mutex_);
  auto of_database = columns_.find(database);
  if (of_database == columns_.end()) of_database = columns_.try_emplace(std::string(database)).first;
  auto& columns = of_database->second[table];
  const auto at = std::ranges::lower_bound(columns, column, {}, &Column::name);
  if (at != columns.end() && at->name == column) return at->number;
  if (count_ == most_) return std::nullopt;
  ++count_;
  columns.insert(at, {.name = std::string(column), .number = count_});
  return count_;
}

std::size_t TrackedColumns::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

std::vector<std::string> TrackedColumns::of(std::string_view database, catalog::Oid table) const {
  const std::lock_guard lock(mutex_);
  const auto of_database = columns_.find(database);
  if (of_database == columns_.end()) return {};
  const auto found = of_database->second.find(table);
  std::vector<std::string> names;
  if (found == of_database->second.end()) return names;
  for (const auto& column : found->second) names.push_back(column.name);
  return names;
}

}  // namespace millrace::pipeline
