#pragma once

#include <memory>
#include <string_view>

#include "sql/references.hpp"

namespace millrace::catalog {

/// What a view's definition holds, as pg_get_viewdef wrote it while only pg_catalog was in the search path. Null: it
/// isn't known. Takes sql::stack_needed(definition.size()) bytes of stack, or is null.
std::shared_ptr<const sql::References> references_of_view(std::string_view definition);

}  // namespace millrace::catalog
