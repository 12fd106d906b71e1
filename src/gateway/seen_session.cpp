#include "gateway/seen_session.hpp"

namespace millrace::gateway {

// A row's text can be read in one way only. Names are in full, as the search path is the session's own.
const std::string_view session_sql =
    R"(/* millrace */ SELECT ROW(pg_catalog.pg_my_temp_schema(), session_user, current_user,
  pg_catalog.current_setting('search_path', true),
  pg_catalog.current_setting('DateStyle', true),
  pg_catalog.current_setting('IntervalStyle', true),
  pg_catalog.current_setting('TimeZone', true),
  pg_catalog.current_setting('timezone_abbreviations', true),
  pg_catalog.current_setting('client_encoding', true),
  pg_catalog.current_setting('lc_messages', true),
  pg_catalog.current_setting('lc_monetary', true),
  pg_catalog.current_setting('lc_numeric', true),
  pg_catalog.current_setting('lc_time', true),
  pg_catalog.current_setting('default_text_search_config', true),
  pg_catalog.current_setting('extra_float_digits', true),
  pg_catalog.current_setting('bytea_output', true),
  pg_catalog.current_setting('xmlbinary', true),
  pg_catalog.current_setting('xmloption', true),
  pg_catalog.current_setting('array_nulls', true),
  pg_catalog.current_setting('backslash_quote', true),
  pg_catalog.current_setting('standard_conforming_strings', true),
  pg_catalog.current_setting('transform_null_equals', true),
  pg_catalog.current_setting('quote_all_identifiers', true),
  pg_catalog.current_setting('row_security', true),
  pg_catalog.current_setting('session_replication_role', true),
  pg_catalog.current_setting('restrict_nonsystem_relation_kind', true),
  pg_catalog.current_setting('default_transaction_isolation', true),
  pg_catalog.current_setting('default_transaction_read_only', true),
  pg_catalog.current_setting('default_transaction_deferrable', true),
  pg_catalog.current_setting('gin_fuzzy_search_limit', true),
  pg_catalog.current_setting('ignore_checksum_failure', true),
  pg_catalog.current_setting('zero_damaged_pages', true),
  pg_catalog.current_setting('ignore_system_indexes', true),
  pg_catalog.current_setting('lo_compat_privileges', true),
  pg_catalog.current_setting('check_function_bodies', true),
  pg_catalog.current_setting('client_min_messages', true),
  pg_catalog.current_setting('millrace.consistency', true),
  pg_catalog.current_setting('millrace.after', true),
  pg_catalog.current_setting('millrace.rewrite', true))::pg_catalog.text)";

bool may_have_temporary_objects(std::string_view answer) { return !answer.starts_with("(0,"); }

}  // namespace millrace::gateway
