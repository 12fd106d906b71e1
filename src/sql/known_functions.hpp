#pragma once

#include <string_view>

namespace millrace::sql {

/// What calling one of PostgreSQL's own functions does beyond returning a value.
struct FunctionEffect {
  bool writes = false;               ///< writes data, takes a lock, or has an effect outside of its result
  bool uses_sequence_state = false;  ///< answers from what nextval() did in this session
  std::string_view pin = {};         ///< what it leaves on the server connection; empty: nothing
};

/// The effect of the function with this name (lower case, no schema). A name that isn't known has none: functions of
/// users and extensions are for whoever has the catalog.
FunctionEffect effect_of_function(std::string_view name);

}  // namespace millrace::sql
