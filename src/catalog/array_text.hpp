#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::catalog {

/// The elements of an array of one dimension, as PostgreSQL writes it: {a,"b c"}. NULL is the word. Null: it isn't one.
std::optional<std::vector<std::string>> elements_of(std::string_view array);

}  // namespace millrace::catalog
