#include "catalog/snapshot_builder.hpp"

#include <algorithm>
#include <cassert>

namespace millrace::catalog {

namespace {

constexpr Oid int4 = 23;

Functions one(char volatility, bool built_in, bool of_rows) {
  return {.volatility = volatility,
          .built_in = built_in,
          .all_immutable_or_built_in = built_in || volatility == 'i',
          .of_rows = of_rows,
          .apart = built_in};
}

/// The worst of both. The letters are in the order of badness.
void merge(Functions& into, const Functions& more) {
  into.volatility = std::max(into.volatility, more.volatility);
  into.built_in = into.built_in && more.built_in;
  into.all_immutable_or_built_in = into.all_immutable_or_built_in && more.all_immutable_or_built_in;
  into.of_rows = into.of_rows || more.of_rows;
  into.apart = into.apart && more.apart;
}

void add_once(std::vector<Oid>& to, Oid oid) {
  if (std::ranges::find(to, oid) == to.end()) to.push_back(oid);
}

}  // namespace

SnapshotBuilder::SnapshotBuilder() : snapshot_(std::make_shared<Snapshot>()) {}

void SnapshotBuilder::schema(std::string name, bool everybodys) {
  snapshot_->schemas_.insert_or_assign(std::move(name), everybodys);
}

Oid SnapshotBuilder::add(Relation relation) {
  if (relation.oid == 0) relation.oid = next_++;
  const Oid oid = relation.oid;
  const auto place = static_cast<std::uint32_t>(snapshot_->relations_.size());
  snapshot_->schemas_.try_emplace(relation.schema, true);
  snapshot_->by_oid_.insert_or_assign(oid, place);
  snapshot_->by_name_.insert_or_assign(Snapshot::key_of(relation.schema, relation.name), place);
  snapshot_->relations_.push_back(std::move(relation));
  return oid;
}

Oid SnapshotBuilder::table(std::string schema, std::string name, std::vector<std::string> columns) {
  Relation relation;
  relation.schema = std::move(schema);
  relation.name = std::move(name);
  for (auto& column : columns) relation.columns.push_back({.name = std::move(column), .type = int4});
  return add(std::move(relation));
}

Oid SnapshotBuilder::view(std::string schema, std::string name, sql::References definition) {
  Relation relation;
  relation.schema = std::move(schema);
  relation.name = std::move(name);
  relation.kind = 'v';
  relation.definition = std::make_shared<const sql::References>(std::move(definition));
  return add(std::move(relation));
}

Relation* SnapshotBuilder::find(Oid oid) {
  const auto found = snapshot_->by_oid_.find(oid);
  return found != snapshot_->by_oid_.end() ? &snapshot_->relations_[found->second] : nullptr;
}

void SnapshotBuilder::inherit(Oid child, Oid parent) {
  auto* below = find(child);
  auto* above = find(parent);
  if (below == nullptr || above == nullptr) return;
  add_once(below->parents, parent);
  add_once(above->children, child);
}

void SnapshotBuilder::cascade(Oid referenced, Oid referencing) {
  auto* relation = find(referenced);
  if (relation != nullptr && find(referencing) != nullptr) add_once(relation->cascades, referencing);
}

void SnapshotBuilder::function(std::string_view name, char volatility, bool built_in, bool of_rows) {
  function(name, one(volatility, built_in, of_rows));
}

void SnapshotBuilder::function(std::string_view name, const Functions& more) {
  const auto [at, is_new] = snapshot_->functions_.try_emplace(std::string(name), more);
  if (!is_new) merge(at->second, more);
}

void SnapshotBuilder::operator_(std::string_view name, char volatility, bool built_in) {
  operator_(name, one(volatility, built_in, false));
}

void SnapshotBuilder::operator_(std::string_view name, const Functions& more) {
  const auto [at, is_new] = snapshot_->operators_.try_emplace(std::string(name), more);
  if (!is_new) merge(at->second, more);
}

Oid SnapshotBuilder::type(Type type) {
  if (type.oid == 0) type.oid = next_++;
  const Oid oid = type.oid;
  snapshot_->types_.push_back(std::move(type));
  return oid;
}

void SnapshotBuilder::role(std::string name, Defaults defaults) {
  snapshot_->defaults_.insert_or_assign(std::move(name), std::move(defaults));
}

std::shared_ptr<const Snapshot> SnapshotBuilder::build() {
  assert(snapshot_ != nullptr);
  auto& types = snapshot_->types_;
  std::ranges::sort(types,
                    [](const Type& a, const Type& b) { return std::tie(a.name, a.oid) < std::tie(b.name, b.oid); });
  for (std::size_t i = 0; i < types.size(); ++i) {
    snapshot_->types_by_oid_.insert_or_assign(types[i].oid, static_cast<std::uint32_t>(i));
  }
  return std::move(snapshot_);
}

}  // namespace millrace::catalog
