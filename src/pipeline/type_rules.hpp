#pragma once

#include <string_view>

#include "catalog/snapshot.hpp"

namespace millrace::pipeline {

/// Whether what comes in and goes out as this type depends on the value and on settings only: built-in types but those
/// that name an object of a catalog (regclass, aclitem), enums, and arrays of such. Not yet: domains, rows, what
/// extensions add, ranges of users.
bool is_plain(const catalog::Type& type, const catalog::Snapshot& snapshot);

/// Whether it is a date, a time or a timestamp, or a range or array of those.
bool is_moment(const catalog::Type& type, const catalog::Snapshot& snapshot);

/// Whether all types that a name may stand for are so; false where there are none.
template <typename Rule>
bool all_types(const sql::Name& name, const catalog::Snapshot& snapshot, Rule rule) {
  bool any = false;
  for (const auto& type : snapshot.types(name.name)) {
    if (!name.schema.empty() && type.schema != name.schema) continue;
    any = true;
    if (!rule(type, snapshot)) return false;
  }
  return any;
}

}  // namespace millrace::pipeline
