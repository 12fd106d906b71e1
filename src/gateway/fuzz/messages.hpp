#pragma once

#include <array>
#include <string>
#include <string_view>

#include "pgwire/protocol/encode.hpp"

/// Whole messages as strings, to be strung together into conversations.
namespace millrace::gateway::wire {

template <auto append, typename... Arguments>
std::string message(const Arguments&... arguments) {
  std::string out;
  append(out, arguments...);
  return out;
}

// From a client.
inline std::string query(std::string_view sql) { return message<pgwire::append_query>(sql); }
inline std::string parse(std::string_view name, std::string_view sql) {
  std::string out;
  pgwire::append_parse(out, name, sql);
  return out;
}
inline std::string bind(std::string_view statement, std::string_view portal = "") {
  return message<pgwire::append_bind>(pgwire::BindFields{.portal = portal, .statement = statement});
}
inline std::string describe_statement(std::string_view name) { return message<pgwire::append_describe>('S', name); }
inline std::string describe_portal(std::string_view name = "") { return message<pgwire::append_describe>('P', name); }
inline std::string execute(std::string_view portal = "", std::int32_t max_rows = 0) {
  return message<pgwire::append_execute>(portal, max_rows);
}
inline std::string close_statement(std::string_view name) { return message<pgwire::append_close>('S', name); }
inline std::string close_portal(std::string_view name) { return message<pgwire::append_close>('P', name); }
inline std::string sync() { return message<pgwire::append_sync>(); }
inline std::string flush() { return message<pgwire::append_flush>(); }
inline std::string copy_fail() { return message<pgwire::append_copy_fail>(std::string_view("no more")); }
inline std::string terminate() { return message<pgwire::append_terminate>(); }
inline std::string function_call() {
  std::string out;
  pgwire::append_function_call(out, 1598, {}, {}, 0);
  return out;
}

// From a server.
inline std::string parsed() { return message<pgwire::append_parse_complete>(); }
inline std::string bound() { return message<pgwire::append_bind_complete>(); }
inline std::string closed() { return message<pgwire::append_close_complete>(); }
inline std::string no_data() { return message<pgwire::append_no_data>(); }
inline std::string complete(std::string_view tag) { return message<pgwire::append_command_complete>(tag); }
inline std::string ready(char status = 'I') { return message<pgwire::append_ready_for_query>(status); }
inline std::string suspended() { return message<pgwire::append_portal_suspended>(); }
inline std::string empty_query() { return message<pgwire::append_empty_query_response>(); }
inline std::string parameter_types() { return message<pgwire::append_parameter_description>(std::array{23U}); }
inline std::string columns() {
  std::string out;
  pgwire::append_row_description(out, std::array{pgwire::FieldDescription{.name = "a", .type_oid = 25}});
  return out;
}
inline std::string row(std::string_view value) {
  return message<pgwire::append_data_row>(std::array{pgwire::Value(value)});
}
inline std::string error(std::string_view sqlstate, std::string_view text, std::string_view severity = "ERROR") {
  return message<static_cast<void (*)(std::string&, const pgwire::ErrorFields&)>(pgwire::append_error_response)>(
      pgwire::ErrorFields{.severity = severity, .sqlstate = sqlstate, .message = text});
}
inline std::string notice(std::string_view text) {
  return message<pgwire::append_notice_response>(
      pgwire::ErrorFields{.severity = "NOTICE", .sqlstate = "00000", .message = text});
}
inline std::string notification(std::string_view channel) {
  return message<pgwire::append_notification_response>(7U, channel, std::string_view());
}
inline std::string parameter(std::string_view name, std::string_view value) {
  return message<pgwire::append_parameter_status>(name, value);
}
inline std::string copy_in() {
  std::string out;
  pgwire::append_copy_in_response(out, 0, std::array<std::int16_t, 1>{0});
  return out;
}
inline std::string copy_out() {
  std::string out;
  pgwire::append_copy_out_response(out, 0, std::array<std::int16_t, 1>{0});
  return out;
}
inline std::string function_result() {
  std::string out;
  pgwire::append_function_call_response(out, std::nullopt);
  return out;
}

// In both directions.
inline std::string copy_data(std::string_view data) { return message<pgwire::append_copy_data>(data); }
inline std::string copy_done() { return message<pgwire::append_copy_done>(); }

}  // namespace millrace::gateway::wire
