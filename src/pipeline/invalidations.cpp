#include "pipeline/invalidations.hpp"

#include <algorithm>
#include <tuple>

namespace millrace::pipeline {

void Invalidations::add(std::string_view database, catalog::Oid table, InvalidationReason reason) {
  const std::lock_guard lock(mutex_);
  auto found = counts_.find(database);
  if (found == counts_.end()) {
    if (counts_.size() >= most_tables) return;
    found = counts_.try_emplace(std::string(database)).first;
  }
  auto& tables = found->second;
  if (!tables.contains(table)) {
    if (tables_ >= most_tables) table = 0;
    if (tables.try_emplace(table, Counts{}).second) ++tables_;
  }
  ++tables[table][static_cast<std::size_t>(reason)];
}

std::vector<Invalidations::Count> Invalidations::counts(std::size_t most) const {
  std::vector<Count> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [database, tables] : counts_) {
      for (const auto& [table, counts] : tables) {
        for (std::size_t at = 0; at < reasons; ++at) {
          if (counts[at] == 0) continue;
          all.push_back({.database = database,
                         .table = table,
                         .reason = static_cast<InvalidationReason>(at),
                         .count = counts[at]});
        }
      }
    }
  }
  std::ranges::sort(all, [](const Count& a, const Count& b) {
    return std::tie(b.count, a.database, a.table, a.reason) < std::tie(a.count, b.database, b.table, b.reason);
  });
  if (all.size() > most) all.resize(most);
  return all;
}

std::vector<std::pair<InvalidationReason, std::uint64_t>> Invalidations::by_reason() const {
  Counts sums{};
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [database, tables] : counts_) {
      for (const auto& [table, counts] : tables) {
        for (std::size_t at = 0; at < reasons; ++at) sums[at] += counts[at];
      }
    }
  }
  std::vector<std::pair<InvalidationReason, std::uint64_t>> all;
  for (std::size_t at = 0; at < reasons; ++at) all.emplace_back(static_cast<InvalidationReason>(at), sums[at]);
  return all;
}

}  // namespace millrace::pipeline
