#pragma once

#include <string_view>

#include "sql/pg_tree.h"
#include "sql/references.hpp"

namespace millrace::sql {

/// Takes a fact of the tree that is about names; false: it is another.
bool take(References& references, pg_tree_fact fact, std::string_view name, std::string_view schema);

/// Sorts the lists and takes out what they hold twice.
void finish(References& references);

/// Bytes that it takes in memory, about.
std::size_t bytes(const References& references);

}  // namespace millrace::sql
