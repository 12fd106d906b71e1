#include <cstdlib>

#include "pgwire/fuzz/subjects.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/startup.hpp"

namespace millrace::pgwire::fuzz {
namespace {

std::string body_of(std::string_view message) { return std::string(message.substr(header_size)); }

template <typename... Arguments, typename... Given>
std::string sample(void (*append)(std::string&, Arguments...), Given&&... arguments) {
  std::string message;
  append(message, std::forward<Given>(arguments)...);
  return body_of(message);
}

// The message that `append` writes has this body.
template <typename... Arguments, typename... Given>
void require_same(Bytes body, void (*append)(std::string&, Arguments...), Given&&... arguments) {
  require(sample(append, std::forward<Given>(arguments)...) == as_text(body));
}

template <typename T>
std::vector<T> copy(const IntegerList<T>& list) {
  std::vector<T> result;
  result.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) result.push_back(list[i]);
  return result;
}

std::vector<Value> copy(const ValueList& list) {
  std::vector<Value> result;
  result.reserve(list.size());
  for (const auto& value : list) result.push_back(value ? Value(as_text(*value)) : std::nullopt);
  require(result.size() == list.size());
  return result;
}

template <typename T, typename Item>
std::vector<T> copy_as(const ItemList<Item>& list) {
  std::vector<T> result;
  result.reserve(list.size());
  for (const auto& item : list) result.emplace_back(item);
  require(result.size() == list.size());
  return result;
}

// ---- From a client.

bool bind(Bytes body) {
  const auto view = decode_bind(body);
  if (!view) {
    bind_names(body);
    return false;
  }
  const auto names = bind_names(body);
  require(names && names->portal == view->portal && names->statement == view->statement);
  require(bind_names(body.first(names->length())).has_value());
  require(!bind_names(body.first(names->length() - 1)).has_value());
  const auto parameter_formats = copy(view->parameter_formats);
  const auto values = copy(view->values);
  const auto result_formats = copy(view->result_formats);
  require_same(body, append_bind,
               BindFields{.portal = view->portal,
                          .statement = view->statement,
                          .parameter_formats = parameter_formats,
                          .values = values,
                          .result_formats = result_formats});
  return true;
}

bool close(Bytes body) {
  const auto view = decode_close(body);
  if (view) require_same(body, append_close, view->what, view->name);
  return view.has_value();
}

bool copy_fail(Bytes body) {
  const auto reason = decode_copy_fail(body);
  if (reason) require_same(body, append_copy_fail, *reason);
  return reason.has_value();
}

bool describe(Bytes body) {
  const auto view = decode_describe(body);
  if (view) require_same(body, append_describe, view->what, view->name);
  return view.has_value();
}

bool empty(Bytes body) { return decode_empty(body).has_value(); }

bool execute(Bytes body) {
  const auto view = decode_execute(body);
  if (view) require_same(body, append_execute, view->portal, view->max_rows);
  return view.has_value();
}

bool function_call(Bytes body) {
  const auto view = decode_function_call(body);
  if (!view) return false;
  require_same(body, append_function_call, view->function_oid, copy(view->argument_formats), copy(view->arguments),
               view->result_format);
  return true;
}

bool parse(Bytes body) {
  const auto view = decode_parse(body);
  if (view) require_same(body, append_parse, view->name, view->query, copy(view->type_oids));
  return view.has_value();
}

bool password(Bytes body) {
  const auto text = decode_password(body);
  if (text) require_same(body, append_password, *text);
  return text.has_value();
}

bool query(Bytes body) {
  const auto text = decode_query(body);
  if (text) require_same(body, append_query, *text);
  return text.has_value();
}

bool sasl_initial_response(Bytes body) {
  const auto view = decode_sasl_initial_response(body);
  if (view && view->data) require_same(body, append_sasl_initial_response, view->mechanism, *view->data);
  return view.has_value();
}

bool startup(Bytes body) {
  const auto packet = decode_startup(body);
  if (!packet) return false;
  if (const auto* request = std::get_if<StartupRequest>(&*packet)) {
    require(!request->user().empty() && request->user().size() <= 63);
    require(!request->database().empty() && request->database().size() <= 63);
    request->replication();
    if (request->unknown_options.empty()) {
      std::string again;
      append_startup(again, request->parameters, std::uint32_t{request->major} << 16 | request->minor);
      require(again == as_text(body));
    }
  }
  return true;
}

// ---- From a server.

bool authentication(Bytes body) {
  const auto view = decode_authentication(body);
  if (!view) return false;
  switch (view->kind) {
    case AuthenticationKind::ok:
      require_same(body, append_authentication_ok);
      break;
    case AuthenticationKind::md5:
      require_same(body, append_authentication_md5, view->data.first<4>());
      break;
    case AuthenticationKind::sasl: {
      const auto mechanisms = copy_as<std::string_view>(view->mechanisms);
      require_same(body, append_authentication_sasl, mechanisms);
      break;
    }
    case AuthenticationKind::sasl_continue:
      require_same(body, append_authentication_sasl_continue, as_text(view->data));
      break;
    default:
      break;
  }
  return true;
}

bool backend_key_data(Bytes body) {
  const auto view = decode_backend_key_data(body);
  if (view) require_same(body, append_backend_key_data, view->process_id, view->secret_key);
  return view.has_value();
}

bool command_complete(Bytes body) {
  const auto view = decode_command_complete(body);
  if (view) require_same(body, append_command_complete, view->tag);
  return view.has_value();
}

bool copy_response(Bytes body) {
  const auto view = decode_copy_response(body);
  if (view) require_same(body, append_copy_out_response, view->format, copy(view->column_formats));
  return view.has_value();
}

bool data_row(Bytes body) {
  const auto values = decode_data_row(body);
  if (values) require_same(body, append_data_row, copy(*values));
  return values.has_value();
}

bool function_call_response(Bytes body) {
  const auto value = decode_function_call_response(body);
  if (!value) return false;
  require_same(body, append_function_call_response, *value ? Value(as_text(**value)) : std::nullopt);
  return true;
}

bool negotiate_protocol_version(Bytes body) {
  const auto view = decode_negotiate_protocol_version(body);
  if (!view) return false;
  require_same(body, append_negotiate_protocol_version, view->newest_version,
               copy_as<std::string>(view->unknown_options));
  return true;
}

bool notice(Bytes body) {
  const auto view = decode_notice(body);
  if (!view) return false;
  std::size_t bytes = 1;
  for (const auto& field : view->fields) {
    require(field.code != 0);
    bytes += field.text.size() + 2;
  }
  require(bytes == body.size());
  view->severity();
  view->sqlstate();
  view->message();
  return true;
}

bool notification(Bytes body) {
  const auto view = decode_notification(body);
  if (view) require_same(body, append_notification_response, view->process_id, view->channel, view->payload);
  return view.has_value();
}

bool parameter_description(Bytes body) {
  const auto oids = decode_parameter_description(body);
  if (oids) require_same(body, append_parameter_description, copy(*oids));
  return oids.has_value();
}

bool parameter_status(Bytes body) {
  const auto view = decode_parameter_status(body);
  if (view) require_same(body, append_parameter_status, view->name, view->value);
  return view.has_value();
}

bool ready_for_query(Bytes body) {
  const auto status = decode_ready_for_query(body);
  if (status) require_same(body, append_ready_for_query, *status);
  return status.has_value();
}

bool row_description(Bytes body) {
  const auto fields = decode_row_description(body);
  if (fields) require_same(body, append_row_description, copy_as<FieldDescription>(*fields));
  return fields.has_value();
}

// ---- Samples.

const std::vector<std::int16_t> no_formats, binary{1}, mixed{0, 1};
const std::vector<std::uint32_t> no_oids, oids{23, 25, 1184};
const std::vector<Value> no_values, one{"42"}, row{"42", std::nullopt, ""};

std::vector<std::string> startup_samples() {
  const auto packet = [](auto append, const auto&... arguments) {
    std::string whole;
    append(whole, arguments...);
    return whole;
  };
  const std::vector<std::pair<std::string, std::string>> alice{{"user", "alice"}};
  const std::vector<std::pair<std::string, std::string>> full{
      {"user", "alice"}, {"database", "shop"}, {"application_name", ""}, {"replication", "database"}};
  const std::vector<std::pair<std::string, std::string>> options{{"user", "alice"}, {"_pq_.compression", "zstd"}};
  return {packet(append_startup, alice, protocol_3_0),
          packet(append_startup, full, protocol_3_0),
          packet(append_startup, options, protocol_3_0),
          packet(append_startup, alice, protocol_3_0 + 2),
          packet(append_ssl_request),
          packet(append_gss_encryption_request),
          packet(append_cancel_request, 4711U, 123456U)};
}

std::vector<std::string> authentication_samples() {
  const std::vector<std::string_view> mechanisms{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"};
  constexpr std::array salt{std::byte{1}, std::byte{0}, std::byte{255}, std::byte{4}};
  return {sample(append_authentication_ok), sample(append_authentication_cleartext),
          sample(append_authentication_md5, salt), sample(append_authentication_sasl, mechanisms)};
}

std::vector<std::string> bind_samples() {
  return {sample(append_bind, BindFields{}),
          sample(append_bind, BindFields{.statement = "s1", .values = row, .result_formats = binary}),
          sample(append_bind, BindFields{.portal = "p", .statement = "s", .parameter_formats = binary, .values = one}),
          sample(append_bind,
                 BindFields{.parameter_formats = mixed, .values = std::span(row).first(2), .result_formats = mixed})};
}

std::vector<std::string> notice_samples() {
  constexpr ErrorFields error{.severity = "ERROR",
                              .sqlstate = "42P01",
                              .message = "relation \"t\" does not exist",
                              .detail = "d",
                              .hint = "h",
                              .position = "15",
                              .where = "w"};
  return {sample(append_notice_response, error), std::string(1, '\0'), std::string("Mno code\0\0", 10)};
}

std::vector<std::string> row_description_samples() {
  const std::vector<FieldDescription> fields{
      {.name = "id", .table_oid = 16384, .column_number = 1, .type_oid = 20, .type_size = 8}, {.name = "?column?"}};
  return {sample(append_row_description, std::span<const FieldDescription>{}), sample(append_row_description, fields)};
}

}  // namespace

void require(bool rule) {
  if (!rule) std::abort();
}

std::span<const Message> messages() {
  static const std::vector<std::string> options{"_pq_.compression", "_pq_.x"};
  static const std::vector<Message> all{
      {"startup", startup, startup_samples()},
      {"bind", bind, bind_samples()},
      {"close", close, {sample(append_close, 'S', "s1"), sample(append_close, 'P', "")}},
      {"copy_fail", copy_fail, {sample(append_copy_fail, "stopped by the user")}},
      {"describe", describe, {sample(append_describe, 'S', "s1"), sample(append_describe, 'P', "")}},
      {"empty", empty, {""}},
      {"execute", execute, {sample(append_execute, "", 0), sample(append_execute, "cursor", 100)}},
      {"function_call",
       function_call,
       {sample(append_function_call, 1598U, no_formats, no_values, std::int16_t{0}),
        sample(append_function_call, 954U, mixed, std::span(row).first(2), std::int16_t{1})}},
      {"parse", parse, {sample(append_parse, "", "SELECT 1", no_oids), sample(append_parse, "s1", "SELECT $1", oids)}},
      {"password", password, {sample(append_password, "secret"), sample(append_password, "")}},
      {"query", query, {sample(append_query, ""), sample(append_query, "SELECT 1; SELECT 2")}},
      {"sasl_initial_response",
       sasl_initial_response,
       {sample(append_sasl_initial_response, "SCRAM-SHA-256", "n,,n=,r=nonce"),
        std::string("SCRAM-SHA-256\0\xff\xff\xff\xff", 18)}},
      {"authentication", authentication, authentication_samples()},
      {"backend_key_data", backend_key_data, {sample(append_backend_key_data, 4711U, 0xdeadbeefU)}},
      {"command_complete",
       command_complete,
       {sample(append_command_complete, "INSERT 0 5"), sample(append_command_complete, "CREATE TABLE")}},
      {"copy_response",
       copy_response,
       {sample(append_copy_in_response, std::int8_t{0}, no_formats),
        sample(append_copy_out_response, std::int8_t{1}, mixed)}},
      {"data_row", data_row, {sample(append_data_row, no_values), sample(append_data_row, row)}},
      {"function_call_response",
       function_call_response,
       {sample(append_function_call_response, Value("42")), sample(append_function_call_response, std::nullopt)}},
      {"negotiate_protocol_version",
       negotiate_protocol_version,
       {sample(append_negotiate_protocol_version, protocol_3_0, options),
        sample(append_negotiate_protocol_version, protocol_3_0 + 2, std::span<const std::string>{})}},
      {"notice", notice, notice_samples()},
      {"notification", notification, {sample(append_notification_response, 4711U, "events", "payload")}},
      {"parameter_description",
       parameter_description,
       {sample(append_parameter_description, no_oids), sample(append_parameter_description, oids)}},
      {"parameter_status", parameter_status, {sample(append_parameter_status, "TimeZone", "UTC")}},
      {"ready_for_query", ready_for_query, {sample(append_ready_for_query, 'I'), sample(append_ready_for_query, 'E')}},
      {"row_description", row_description, row_description_samples()},
  };
  return all;
}

}  // namespace millrace::pgwire::fuzz
