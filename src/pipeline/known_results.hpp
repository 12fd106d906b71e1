#pragma once

#include <string_view>

namespace millrace::pipeline {

// What is known of PostgreSQL's own functions beyond what its catalog says of them.

/// A stable function whose result depends on nothing but its arguments and settings that a client sees the results of:
/// TimeZone, DateStyle, IntervalStyle, extra_float_digits, bytea_output, default_text_search_config, lc_*. Not the
/// clock, not the session, not catalogs.
bool depends_on_settings_only(std::string_view function);

/// A function that PostgreSQL declares immutable, though it reads a catalog or what the server is doing.
bool is_not_as_declared(std::string_view function);

/// Its result is never text, so that it becomes a date without the clock being asked.
bool never_gives_text(std::string_view function);

/// It may be volatile, but no row of a table's changes by it.
bool changes_no_rows(std::string_view function);

/// A built-in function of any single value, so that `t.name` may call it, whose result isn't for keeping.
bool looks_into_values(std::string_view function);

}  // namespace millrace::pipeline
