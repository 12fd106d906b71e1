#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "catalog/snapshot.hpp"

namespace millrace::gateway {

/// A parameter's value as an expression of SQL, of a text that the monitor has kept (`pipeline::parameter_texts`): what
/// was bound in binary is in hexadecimal there, and is read by the parameter's type. Under standard_conforming_strings.
/// Null: that type isn't read here, or the value isn't one of it.
std::optional<std::string> literal_of(const std::optional<std::string>& kept, catalog::Oid type);

}  // namespace millrace::gateway
