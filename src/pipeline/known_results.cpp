#include "pipeline/known_results.hpp"

#include <algorithm>
#include <array>

namespace millrace::pipeline {

namespace {

template <std::size_t N>
constexpr std::array<std::string_view, N> names(const std::string_view (&list)[N]) {
  auto out = std::to_array(list);
  std::ranges::sort(out);
  return out;
}

template <std::size_t N>
bool holds(const std::array<std::string_view, N>& list, std::string_view name) {
  return std::ranges::binary_search(list, name);
}

// Left out on purpose: age() of one argument asks the clock, json_populate_record() may make dates of text that says
// 'now', enum_range() and pg_typeof() read catalogs, current_setting() reads the session. timetz() takes the offset
// that the zone has at present.
constexpr auto kOfSettings = names({
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "date",
    "date_part",
    "date_trunc",
    "extract",
    "format",
    "generate_series",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "numeric",
    "overlaps",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "time",
    "timestamp",
    "timestamptz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "websearch_to_tsquery",
});

constexpr auto kNeverText = names({
    "date",
    "date_bin",
    "date_trunc",
    "generate_series",
    "make_date",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "time",
    "timestamp",
    "timestamptz",
    "timezone",
    "to_date",
    "to_timestamp",
});

constexpr auto kChangeNoRows = names({
    "age",
    "clock_timestamp",
    "current_database",
    "current_schema",
    "current_setting",
    "currval",
    "gen_random_uuid",
    "lastval",
    "nextval",
    "now",
    "pg_backend_pid",
    "pg_column_size",
    "pg_database_size",
    "pg_is_in_recovery",
    "pg_notify",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_typeof",
    "random",
    "setval",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
    "txid_current",
});

// pg_partition_root(), pg_visible_in_snapshot() and pg_walfile_name() among others: all but those are refused, since a
// version to come may add more.
constexpr auto kTrueToTheirWord = names({"pg_size_bytes", "pg_size_pretty"});

constexpr auto kLookIntoValues = names({"pg_collation_for", "pg_column_compression", "pg_column_size", "pg_typeof"});

}  // namespace

bool depends_on_settings_only(std::string_view function) { return holds(kOfSettings, function); }
bool never_gives_text(std::string_view function) { return holds(kNeverText, function); }
bool changes_no_rows(std::string_view function) {
  return holds(kChangeNoRows, function) || depends_on_settings_only(function) || function.starts_with("pg_advisory_") ||
         function.starts_with("pg_try_advisory_");
}
bool is_not_as_declared(std::string_view function) {
  if (function == "ts_lexize" || function == "txid_visible_in_snapshot") return true;
  return function.starts_with("pg_") && !holds(kTrueToTheirWord, function);
}
bool looks_into_values(std::string_view function) { return holds(kLookIntoValues, function); }

}  // namespace millrace::pipeline
