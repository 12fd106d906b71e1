#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "pgwire/protocol/field.hpp"
#include "pgwire/protocol/frame.hpp"

/// Writers of whole messages: each appends one message to `out`. A text ends at its first NUL byte, so no text can
/// forge a message. A message over 1 GiB is the caller's mistake.
namespace millrace::pgwire {

using Parameters = std::span<const std::pair<std::string, std::string>>;
/// A parameter's or column's value; nullopt is SQL's NULL.
using Value = std::optional<std::string_view>;

/// The fields of an ErrorResponse or NoticeResponse (manual, 55.8); an empty one is left out.
struct ErrorFields {
  std::string_view severity;  ///< ERROR, FATAL, PANIC, WARNING, NOTICE, ...
  std::string_view sqlstate;
  std::string_view message;
  std::string_view detail = {};
  std::string_view hint = {};
  std::string_view position = {};
  std::string_view where = {};
};

// To a client.
void append_authentication_ok(std::string& out);
void append_authentication_cleartext(std::string& out);
void append_authentication_md5(std::string& out, std::span<const std::byte, 4> salt);
void append_authentication_sasl(std::string& out, std::span<const std::string_view> mechanisms);
void append_authentication_sasl_continue(std::string& out, std::string_view data);
void append_authentication_sasl_final(std::string& out, std::string_view data);
void append_backend_key_data(std::string& out, std::uint32_t process_id, std::uint32_t secret_key);
void append_bind_complete(std::string& out);
void append_close_complete(std::string& out);
void append_command_complete(std::string& out, std::string_view tag);
void append_copy_in_response(std::string& out, std::int8_t format, std::span<const std::int16_t> column_formats);
void append_copy_out_response(std::string& out, std::int8_t format, std::span<const std::int16_t> column_formats);
void append_copy_both_response(std::string& out, std::int8_t format, std::span<const std::int16_t> column_formats);
void append_data_row(std::string& out, std::span<const Value> values);
void append_empty_query_response(std::string& out);
void append_error_response(std::string& out, const ErrorFields& fields);
/// An Error without a SQLSTATE is sent as XX000.
void append_error_response(std::string& out, std::string_view severity, const Error& error);
void append_function_call_response(std::string& out, Value value);
/// `newest_version` is the whole number, such as `protocol_3_0`: what PostgreSQL sends, though the manual says the
/// minor alone.
void append_negotiate_protocol_version(std::string& out, std::uint32_t newest_version,
                                       std::span<const std::string> unknown_options);
void append_no_data(std::string& out);
void append_notice_response(std::string& out, const ErrorFields& fields);
void append_notification_response(std::string& out, std::uint32_t process_id, std::string_view channel,
                                  std::string_view payload);
void append_parameter_description(std::string& out, std::span<const std::uint32_t> type_oids);
void append_parameter_status(std::string& out, std::string_view name, std::string_view value);
void append_parse_complete(std::string& out);
void append_portal_suspended(std::string& out);
void append_ready_for_query(std::string& out, char status);
void append_row_description(std::string& out, std::span<const FieldDescription> fields);

// To a server.
struct BindFields {
  std::string_view portal = {};
  std::string_view statement = {};
  std::span<const std::int16_t> parameter_formats = {};
  std::span<const Value> values = {};
  std::span<const std::int16_t> result_formats = {};
};
void append_bind(std::string& out, const BindFields& fields);
void append_cancel_request(std::string& out, std::uint32_t process_id, std::uint32_t secret_key);
void append_close(std::string& out, char what, std::string_view name);  ///< 'S' statement, 'P' portal
void append_copy_fail(std::string& out, std::string_view reason);
void append_describe(std::string& out, char what, std::string_view name);
void append_execute(std::string& out, std::string_view portal, std::int32_t max_rows = 0);
void append_flush(std::string& out);
void append_function_call(std::string& out, std::uint32_t function_oid, std::span<const std::int16_t> argument_formats,
                          std::span<const Value> arguments, std::int16_t result_format);
void append_gss_encryption_request(std::string& out);
void append_parse(std::string& out, std::string_view name, std::string_view query,
                  std::span<const std::uint32_t> type_oids = {});
void append_password(std::string& out, std::string_view password);
void append_query(std::string& out, std::string_view query);
void append_sasl_initial_response(std::string& out, std::string_view mechanism, std::string_view data);
void append_sasl_response(std::string& out, std::string_view data);
void append_ssl_request(std::string& out);
void append_startup(std::string& out, Parameters parameters, std::uint32_t version = protocol_3_0);
void append_sync(std::string& out);
void append_terminate(std::string& out);

// In both directions.
void append_copy_data(std::string& out, std::string_view data);
void append_copy_done(std::string& out);

}  // namespace millrace::pgwire
