#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.hpp"
#include "pgwire/protocol/frame.hpp"
#include "pgwire/protocol/lists.hpp"
#include "pgwire/protocol/reader.hpp"

/// Readers of message bodies (what follows the length). What they return points into the body: no copy, no allocation,
/// valid as long as the body is. Every length is checked, and bytes after the end are an error. Errors are 08P01,
/// worded as PostgreSQL does.
namespace millrace::pgwire {

// ---- From a client.

/// The two names at the start of a Bind.
struct BindNames {
  std::string_view portal;
  std::string_view statement;
  std::size_t length() const { return portal.size() + statement.size() + 2; }  ///< in the body, NULs included
};
/// Works on the beginning of a body; nullopt: more bytes are needed (or, with the whole body, it is malformed).
inline std::optional<BindNames> bind_names(Bytes prefix) {
  const auto portal = leading_string(prefix);
  if (!portal) return std::nullopt;
  const auto statement = leading_string(prefix.subspan(portal->size() + 1));
  if (!statement) return std::nullopt;
  return BindNames{*portal, *statement};
}

struct BindView {
  std::string_view portal;
  std::string_view statement;
  FormatList parameter_formats;  ///< none: all text; one: for all; or one each
  ValueList values;
  FormatList result_formats;
};
Result<BindView> decode_bind(Bytes body);

/// Of a Close or Describe: `what` is 'S' (statement) or 'P' (portal).
struct TargetView {
  char what = 0;
  std::string_view name;
};
Result<TargetView> decode_close(Bytes body);
Result<TargetView> decode_describe(Bytes body);

Result<std::string_view> decode_copy_fail(Bytes body);  ///< the reason

struct ExecuteView {
  std::string_view portal;
  std::int32_t max_rows = 0;  ///< 0 or less: all
};
Result<ExecuteView> decode_execute(Bytes body);

struct FunctionCallView {
  std::uint32_t function_oid = 0;
  FormatList argument_formats;
  ValueList arguments;
  std::int16_t result_format = 0;
};
Result<FunctionCallView> decode_function_call(Bytes body);

/// `leading_string` finds the name in an incomplete body.
struct ParseView {
  std::string_view name;
  std::string_view query;
  OidList type_oids;
};
Result<ParseView> decode_parse(Bytes body);

Result<std::string_view> decode_password(Bytes body);
Result<std::string_view> decode_query(Bytes body);

struct SaslInitialResponseView {
  std::string_view mechanism;
  std::optional<std::string_view> data;
};
Result<SaslInitialResponseView> decode_sasl_initial_response(Bytes body);

/// Of Sync, Flush, CopyDone, and of the answers that are a type alone.
Result<> decode_empty(Bytes body);

// ---- From a server.

enum class AuthenticationKind : std::uint32_t {
  ok = 0,
  kerberos_v5 = 2,
  cleartext = 3,
  md5 = 5,
  scm = 6,
  gss = 7,
  gss_continue = 8,
  sspi = 9,
  sasl = 10,
  sasl_continue = 11,
  sasl_final = 12,
};
struct AuthenticationView {
  AuthenticationKind kind = AuthenticationKind::ok;  ///< may be a number that has no name here
  Bytes data;                                        ///< md5's four bytes of salt, SASL's or GSS's data
  StringList mechanisms;                             ///< of sasl
};
Result<AuthenticationView> decode_authentication(Bytes body);

struct BackendKeyDataView {
  std::uint32_t process_id = 0;
  std::uint32_t secret_key = 0;
};
Result<BackendKeyDataView> decode_backend_key_data(Bytes body);

struct CommandCompleteView {
  std::string_view tag;
  std::optional<std::uint64_t> rows;
};
/// The number at a tag's end, "INSERT 0 5" or "SELECT 5"; nullopt where there is none.
inline std::optional<std::uint64_t> command_rows(std::string_view tag) {
  const std::size_t space = tag.rfind(' ');
  if (space == std::string_view::npos) return std::nullopt;
  std::uint64_t rows = 0;
  const char* end = tag.data() + tag.size();
  const auto [stop, error] = std::from_chars(tag.data() + space + 1, end, rows);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return rows;
}
Result<CommandCompleteView> decode_command_complete(Bytes body);

/// Of CopyInResponse, CopyOutResponse, CopyBothResponse.
struct CopyResponseView {
  std::int8_t format = 0;
  FormatList column_formats;
};
Result<CopyResponseView> decode_copy_response(Bytes body);

Result<ValueList> decode_data_row(Bytes body);
Result<std::optional<Bytes>> decode_function_call_response(Bytes body);

struct NegotiateProtocolVersionView {
  std::uint32_t newest_version = 0;  ///< major and minor, see the encoder
  StringList unknown_options;
};
Result<NegotiateProtocolVersionView> decode_negotiate_protocol_version(Bytes body);

/// Of ErrorResponse and NoticeResponse. A field that a server leaves out is empty: never rely on any.
struct NoticeView {
  NoticeFieldList fields;

  std::string_view find(char code) const;
  /// The severity that is never translated, where the server has it (9.6 and newer).
  std::string_view severity() const;
  std::string_view sqlstate() const { return find('C'); }
  std::string_view message() const { return find('M'); }
};
Result<NoticeView> decode_notice(Bytes body);

struct NotificationView {
  std::uint32_t process_id = 0;
  std::string_view channel;
  std::string_view payload;
};
Result<NotificationView> decode_notification(Bytes body);

Result<OidList> decode_parameter_description(Bytes body);

struct ParameterStatusView {
  std::string_view name;
  std::string_view value;
};
Result<ParameterStatusView> decode_parameter_status(Bytes body);

Result<char> decode_ready_for_query(Bytes body);  ///< 'I', 'T' or 'E'
Result<FieldList> decode_row_description(Bytes body);

}  // namespace millrace::pgwire
