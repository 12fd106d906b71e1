#pragma once

#include <string_view>

namespace millrace::sql {

/// Of `EXPLAIN (MILLRACE) statement`: the statement as it stands there, from its first word or comment up to the text's
/// end. "": the text doesn't begin so. That what follows is a statement is for the parser to say. Thread-safe.
std::string_view explained_text(std::string_view text);

}  // namespace millrace::sql
