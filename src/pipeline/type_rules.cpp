#include "pipeline/type_rules.hpp"

namespace millrace::pipeline {

namespace {

const catalog::Type* element_of(const catalog::Type& type, const catalog::Snapshot& snapshot) {
  if (type.category != 'A' || type.element == 0) return nullptr;
  const auto* element = snapshot.type(type.element);
  return element != nullptr && element->category != 'A' ? element : nullptr;  // no type is of arrays of arrays
}

bool is_built_in_range(const catalog::Type& type) { return type.built_in && (type.kind == 'r' || type.kind == 'm'); }

}  // namespace

bool is_plain(const catalog::Type& type, const catalog::Snapshot& snapshot) {
  if (type.kind == 'e') return true;
  if (type.category == 'A') {
    const auto* element = element_of(type, snapshot);
    return element != nullptr && is_plain(*element, snapshot);
  }
  if (is_built_in_range(type)) return true;
  return type.built_in && type.kind == 'b' && !type.name.starts_with("reg") && type.name != "aclitem";
}

bool is_moment(const catalog::Type& type, const catalog::Snapshot& snapshot) {
  if (!type.built_in) return false;
  if (const auto* element = element_of(type, snapshot)) return is_moment(*element, snapshot);
  return type.category == 'D' || is_built_in_range(type);
}

}  // namespace millrace::pipeline
