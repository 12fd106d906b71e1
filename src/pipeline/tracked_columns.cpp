#include "pipeline/tracked_columns.hpp"

#include <algorithm>

namespace millrace::pipeline {

bool TrackedColumns::add(std::string_view database, catalog::Oid table, std::string_view column) {
  const std::lock_guard lock(mutex_);
  auto of_database = columns_.find(database);
  if (of_database == columns_.end()) of_database = columns_.try_emplace(std::string(database)).first;
  auto& columns = of_database->second[table];
  const auto at = std::ranges::lower_bound(columns, column);
  if (at != columns.end() && *at == column) return true;
  if (count_ == most_) return false;
  ++count_;
  columns.emplace(at, column);
  return true;
}

std::vector<std::string> TrackedColumns::of(std::string_view database, catalog::Oid table) const {
  const std::lock_guard lock(mutex_);
  const auto of_database = columns_.find(database);
  if (of_database == columns_.end()) return {};
  const auto found = of_database->second.find(table);
  return found == of_database->second.end() ? std::vector<std::string>() : found->second;
}

}  // namespace millrace::pipeline
