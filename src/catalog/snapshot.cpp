#include "catalog/snapshot.hpp"

#include <algorithm>

namespace millrace::catalog {

namespace {

template <typename Map, typename Key>
auto* find_in(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found != map.end() ? &found->second : nullptr;
}

/// Oids that are yet to be visited, each once.
class Visit {
 public:
  explicit Visit(std::vector<Oid> start) {
    for (const Oid oid : start) add(oid);
  }
  void add(Oid oid) {
    if (seen_.insert({oid, true}).second) found_.push_back(oid);
  }
  void add(const std::vector<Oid>& oids) {
    for (const Oid oid : oids) add(oid);
  }
  std::optional<Oid> next() { return at_ < found_.size() ? std::optional(found_[at_++]) : std::nullopt; }
  const std::vector<Oid>& found() const { return found_; }
  std::vector<Oid> sorted() && {
    std::ranges::sort(found_);
    return std::move(found_);
  }

 private:
  boost::unordered_flat_map<Oid, bool> seen_;
  std::vector<Oid> found_;
  std::size_t at_ = 0;
};

}  // namespace

std::string Snapshot::key_of(std::string_view schema, std::string_view name) {
  std::string key;
  key.reserve(schema.size() + 1 + name.size());
  key.append(schema).push_back('\0');
  key.append(name);
  return key;
}

const Relation* Snapshot::find(std::string_view schema, std::string_view name) const {
  const auto* at = find_in(by_name_, key_of(schema, name));
  return at != nullptr ? &relations_[*at] : nullptr;
}

const Relation* Snapshot::find(Oid oid) const {
  const auto* at = find_in(by_oid_, oid);
  return at != nullptr ? &relations_[*at] : nullptr;
}

const Relation* Snapshot::resolve(const sql::Name& name, std::span<const std::string> search_path) const {
  if (!name.schema.empty()) return find(name.schema, name.name);
  if (std::ranges::find(search_path, "pg_catalog") == search_path.end()) {
    if (const auto* relation = find("pg_catalog", name.name)) return relation;
  }
  const Relation* first = nullptr;
  for (const auto& schema : search_path) {
    const auto* relation = find(schema, name.name);
    if (relation == nullptr || relation == first) continue;
    if (first != nullptr) return nullptr;
    first = relation;
    const auto* everybodys = find_in(schemas_, schema);
    if (everybodys != nullptr && *everybodys) break;
  }
  return first;
}

const Functions* Snapshot::functions(std::string_view name) const { return find_in(functions_, name); }

const Functions* Snapshot::operators(std::string_view name) const { return find_in(operators_, name); }

std::span<const Type> Snapshot::types(std::string_view name) const {
  const auto range = std::ranges::equal_range(types_, name, std::less<std::string_view>{}, &Type::name);
  return {range.begin(), range.end()};
}

const Type* Snapshot::type(Oid oid) const {
  const auto* at = find_in(types_by_oid_, oid);
  return at != nullptr ? &types_[*at] : nullptr;
}

std::optional<Defaults> Snapshot::defaults(std::string_view user) const {
  const auto* found = find_in(defaults_, user);
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

std::optional<std::vector<Oid>> Snapshot::changed_with(Oid table) const {
  // Those whose rows change, and what follows them; then who else shows these rows.
  Visit changes({table});
  while (const auto oid = changes.next()) {
    const auto* relation = find(*oid);
    if (relation == nullptr || !std::string_view("rpm").contains(relation->kind)) return std::nullopt;
    if (relation->has_rules || relation->has_triggers) return std::nullopt;
    changes.add(relation->children);
    changes.add(relation->cascades);
    // A key that is referenced may be declared above the table whose row goes; and so may a trigger.
    Visit above(relation->parents);
    while (const auto parent = above.next()) {
      const auto* ancestor = find(*parent);
      if (ancestor == nullptr || ancestor->has_triggers || ancestor->has_rules) return std::nullopt;
      above.add(ancestor->parents);
      changes.add(ancestor->cascades);
    }
  }
  Visit shown(changes.found());
  while (const auto oid = shown.next()) {
    if (const auto* relation = find(*oid)) shown.add(relation->parents);
  }
  return std::move(shown).sorted();
}

std::vector<Oid> Snapshot::read_with(Oid table) const {
  Visit below({table});
  while (const auto oid = below.next()) {
    if (const auto* relation = find(*oid)) below.add(relation->children);
  }
  return std::move(below).sorted();
}

}  // namespace millrace::catalog
