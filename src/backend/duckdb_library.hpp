#pragma once

#include <duckdb.h>

#include "base/result.hpp"

namespace millrace::backend {

/// DuckDB's C functions, by their names without the prefix. libduckdb.so is loaded when they are asked for first, not
/// with the program: that takes 15 ms and 12 MB, and most of what runs needs none of it.
struct DuckDbLibrary {
#define MILLRACE_DUCKDB_FUNCTIONS(with)                                                                                \
  with(create_config) with(set_config) with(destroy_config) with(open_ext) with(close) with(free) with(connect)        \
      with(disconnect) with(query) with(destroy_result) with(result_error) with(prepare) with(prepare_error)           \
          with(destroy_prepare) with(clear_bindings) with(nparams) with(bind_null) with(bind_boolean) with(bind_int64) \
              with(bind_uint64) with(bind_double) with(bind_varchar_length) with(bind_blob) with(                      \
                  pending_prepared_streaming) with(pending_error) with(execute_pending) with(destroy_pending)          \
                  with(fetch_chunk) with(destroy_data_chunk) with(data_chunk_get_size) with(data_chunk_get_vector)     \
                      with(vector_get_data) with(vector_get_validity) with(validity_row_is_valid) with(column_count)   \
                          with(column_type) with(string_t_data) with(string_t_length) with(appender_create)            \
                              with(appender_error) with(appender_end_row) with(appender_close) with(appender_destroy)  \
                                  with(append_null) with(append_bool) with(append_int64) with(append_uint64)           \
                                      with(append_double) with(append_varchar_length) with(append_blob)                \
                                          with(append_data_chunk) with(create_logical_type) with(destroy_logical_type) \
                                              with(create_table_function) with(destroy_table_function) with(           \
                                                  table_function_set_name) with(table_function_set_extra_info)         \
                                                  with(table_function_set_bind) with(table_function_set_init)          \
                                                      with(table_function_set_function) with(register_table_function)  \
                                                          with(bind_get_extra_info) with(bind_add_result_column)       \
                                                              with(function_get_extra_info)                            \
                                                                  with(vector_ensure_validity_writable)                \
                                                                      with(validity_set_row_invalid)                   \
                                                                          with(vector_assign_string_element_len)       \
                                                                              with(data_chunk_set_size)                \
                                                                                  with(vector_size)
#define MILLRACE_DECLARE(name) decltype(&::duckdb_##name) name;
  MILLRACE_DUCKDB_FUNCTIONS(MILLRACE_DECLARE)
#undef MILLRACE_DECLARE
};

/// The same at each call. An error: why there is none. Thread-safe.
Result<const DuckDbLibrary*> duckdb_library();

}  // namespace millrace::backend
