#include "sql/reference_list.hpp"

#include <algorithm>

namespace millrace::sql {

namespace {

bool is(const Name& name, std::string_view schema, std::string_view of) {
  return name.name == of && name.schema == schema;
}

/// Makes room for as many as most texts have, and passes by what was named a moment ago: a text that calls one function
/// in each of a thousand rows is to need no list of a thousand.
template <typename T, typename Same>
bool is_new(std::vector<T>& list, Same same) {
  constexpr std::size_t kUsual = 4;
  constexpr std::size_t kLooksBack = 8;
  if (list.capacity() == 0) list.reserve(kUsual);
  const std::size_t first = list.size() < kLooksBack ? 0 : list.size() - kLooksBack;
  return std::none_of(list.begin() + static_cast<std::ptrdiff_t>(first), list.end(), same);
}

void add(std::vector<Name>& list, std::string_view name, std::string_view schema) {
  if (is_new(list, [&](const Name& other) { return is(other, schema, name); })) {
    list.emplace_back(std::string(schema), std::string(name));
  }
}

void add(std::vector<std::string>& list, std::string_view name) {
  if (is_new(list, [&](const std::string& other) { return other == name; })) list.emplace_back(name);
}

template <typename T>
void sort_out(std::vector<T>& list) {
  if (list.size() < 2) return;
  std::ranges::sort(list);
  const auto twice = std::ranges::unique(list);
  list.erase(twice.begin(), twice.end());
}

std::size_t heap(const std::string& text) {
  return text.capacity() > std::string().capacity() ? text.capacity() + 1 : 0;
}
std::size_t heap(const Name& name) { return heap(name.schema) + heap(name.name); }

template <typename T>
std::size_t heap(const std::vector<T>& list) {
  std::size_t sum = list.capacity() * sizeof(T);
  for (const auto& element : list) sum += heap(element);
  return sum;
}

}  // namespace

bool take(References& references, pg_tree_fact fact, std::string_view name, std::string_view schema) {
  switch (fact) {
    case PG_TREE_READS:
      add(references.reads, name, schema);
      return true;
    case PG_TREE_TARGET:
      add(references.writes, name, schema);
      return true;
    case PG_TREE_WITH_NAME:
      add(references.with, name);
      return true;
    case PG_TREE_CALLS:
      add(references.functions, name, schema);
      return true;
    case PG_TREE_OPERATOR:
      add(references.operators, name, schema);
      return true;
    case PG_TREE_TYPE:
      add(references.types, name, schema);
      return true;
    case PG_TREE_COLLATION:
      add(references.collations, name, schema);
      return true;
    case PG_TREE_FIELD:
      add(references.fields, name);
      return true;
    case PG_TREE_RENAMES:
      add(references.renames, name);
      return true;
    case PG_TREE_TO_MOMENT:
      add(references.to_moments, name);
      return true;
    case PG_TREE_WHO:
      references.who = true;
      return true;
    case PG_TREE_CLOCK:
      if (!references.not_known.empty()) return true;
      references.not_known = name;
      references.only_clock = true;
      return true;
    case PG_TREE_NOT_KNOWN:
      if (references.not_known.empty()) references.not_known = name;
      references.only_clock = false;
      return true;
    default:
      return false;
  }
}

void finish(References& references) {
  sort_out(references.reads);
  sort_out(references.writes);
  sort_out(references.with);
  sort_out(references.functions);
  sort_out(references.operators);
  sort_out(references.types);
  sort_out(references.collations);
  sort_out(references.fields);
  sort_out(references.to_moments);
  sort_out(references.renames);
}

std::size_t bytes(const References& references) {
  return sizeof references + heap(references.not_known) + heap(references.reads) + heap(references.writes) +
         heap(references.with) + heap(references.functions) + heap(references.operators) + heap(references.types) +
         heap(references.collations) + heap(references.fields) + heap(references.to_moments) + heap(references.renames);
}

}  // namespace millrace::sql
