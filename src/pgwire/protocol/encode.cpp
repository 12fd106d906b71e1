#include "pgwire/protocol/encode.hpp"

#include "pgwire/protocol/decode.hpp"

namespace millrace::pgwire {
namespace {

template <typename T>
void append_integer(std::string& out, T value) {
  const auto swapped = std::byteswap(value);
  out.append(reinterpret_cast<const char*>(&swapped), sizeof swapped);
}

void append_text(std::string& out, std::string_view text) {
  out += text.substr(0, text.find('\0'));
  out += '\0';
}

// Opens a message, and fills its length in when it goes out of scope.
class Message {
 public:
  Message(std::string& out, char type) : out_(out) {
    out_ += type;
    open();
  }
  explicit Message(std::string& out) : out_(out) { open(); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message() {
    const auto length = std::byteswap(static_cast<std::uint32_t>(out_.size() - start_));
    std::memcpy(out_.data() + start_, &length, sizeof length);
  }

  Message& byte(char value) {
    out_ += value;
    return *this;
  }
  template <typename T>
  Message& integer(T value) {
    append_integer(out_, value);
    return *this;
  }
  Message& text(std::string_view text) {
    append_text(out_, text);
    return *this;
  }
  Message& raw(std::string_view bytes) {
    out_ += bytes;
    return *this;
  }
  Message& value(Value value) {
    if (!value) return integer(std::int32_t{-1});
    return integer(static_cast<std::int32_t>(value->size())).raw(*value);
  }
  template <typename T>
  Message& integers(std::span<const T> values) {
    integer(static_cast<std::uint16_t>(values.size()));
    for (const T each : values) integer(each);
    return *this;
  }
  Message& values(std::span<const Value> values) {
    integer(static_cast<std::uint16_t>(values.size()));
    for (const Value& each : values) value(each);
    return *this;
  }

 private:
  void open() {
    start_ = out_.size();
    integer(std::uint32_t{0});
  }
  std::string& out_;
  std::size_t start_ = 0;
};

void append_empty(std::string& out, char type) { Message(out, type); }

void append_authentication(std::string& out, AuthenticationKind kind, std::string_view data = {}) {
  Message(out, backend::authentication).integer(static_cast<std::uint32_t>(kind)).raw(data);
}

void append_notice(std::string& out, char type, const ErrorFields& fields) {
  Message message(out, type);
  const auto field = [&](char code, std::string_view text) {
    if (!text.empty()) message.byte(code).text(text);
  };
  field('S', fields.severity);
  field('V', fields.severity);
  field('C', fields.sqlstate);
  field('M', fields.message);
  field('D', fields.detail);
  field('H', fields.hint);
  field('P', fields.position);
  field('W', fields.where);
  message.byte('\0');
}

void append_copy_response(std::string& out, char type, std::int8_t format, std::span<const std::int16_t> formats) {
  Message(out, type).integer(format).integers(formats);
}

}  // namespace

void append_authentication_ok(std::string& out) { append_authentication(out, AuthenticationKind::ok); }

void append_authentication_cleartext(std::string& out) { append_authentication(out, AuthenticationKind::cleartext); }

void append_authentication_md5(std::string& out, std::span<const std::byte, 4> salt) {
  append_authentication(out, AuthenticationKind::md5, as_text(salt));
}

void append_authentication_sasl(std::string& out, std::span<const std::string_view> mechanisms) {
  Message message(out, backend::authentication);
  message.integer(static_cast<std::uint32_t>(AuthenticationKind::sasl));
  for (const std::string_view mechanism : mechanisms) message.text(mechanism);
  message.byte('\0');
}

void append_authentication_sasl_continue(std::string& out, std::string_view data) {
  append_authentication(out, AuthenticationKind::sasl_continue, data);
}

void append_authentication_sasl_final(std::string& out, std::string_view data) {
  append_authentication(out, AuthenticationKind::sasl_final, data);
}

void append_backend_key_data(std::string& out, std::uint32_t process_id, std::uint32_t secret_key) {
  Message(out, backend::backend_key_data).integer(process_id).integer(secret_key);
}

void append_bind_complete(std::string& out) { append_empty(out, backend::bind_complete); }

void append_close_complete(std::string& out) { append_empty(out, backend::close_complete); }

void append_command_complete(std::string& out, std::string_view tag) {
  Message(out, backend::command_complete).text(tag);
}

void append_copy_in_response(std::string& out, std::int8_t format, std::span<const std::int16_t> column_formats) {
  append_copy_response(out, backend::copy_in_response, format, column_formats);
}

void append_copy_out_response(std::string& out, std::int8_t format, std::span<const std::int16_t> column_formats) {
  append_copy_response(out, backend::copy_out_response, format, column_formats);
}

void append_copy_both_response(std::string& out, std::int8_t format, std::span<const std::int16_t> column_formats) {
  append_copy_response(out, backend::copy_both_response, format, column_formats);
}

void append_data_row(std::string& out, std::span<const Value> values) {
  Message(out, backend::data_row).values(values);
}

void append_empty_query_response(std::string& out) { append_empty(out, backend::empty_query_response); }

void append_error_response(std::string& out, const ErrorFields& fields) {
  append_notice(out, backend::error_response, fields);
}

void append_error_response(std::string& out, std::string_view severity, const Error& error) {
  append_error_response(out, {.severity = severity,
                              .sqlstate = error.sqlstate.empty() ? std::string_view("XX000") : error.sqlstate,
                              .message = error.message,
                              .detail = error.detail,
                              .hint = error.hint});
}

void append_function_call_response(std::string& out, Value value) {
  Message(out, backend::function_call_response).value(value);
}

void append_negotiate_protocol_version(std::string& out, std::uint32_t newest_version,
                                       std::span<const std::string> unknown_options) {
  Message message(out, backend::negotiate_protocol_version);
  message.integer(newest_version).integer(static_cast<std::uint32_t>(unknown_options.size()));
  for (const std::string& option : unknown_options) message.text(option);
}

void append_no_data(std::string& out) { append_empty(out, backend::no_data); }

void append_notice_response(std::string& out, const ErrorFields& fields) {
  append_notice(out, backend::notice_response, fields);
}

void append_notification_response(std::string& out, std::uint32_t process_id, std::string_view channel,
                                  std::string_view payload) {
  Message(out, backend::notification_response).integer(process_id).text(channel).text(payload);
}

void append_parameter_description(std::string& out, std::span<const std::uint32_t> type_oids) {
  Message(out, backend::parameter_description).integers(type_oids);
}

void append_parameter_status(std::string& out, std::string_view name, std::string_view value) {
  Message(out, backend::parameter_status).text(name).text(value);
}

void append_parse_complete(std::string& out) { append_empty(out, backend::parse_complete); }

void append_portal_suspended(std::string& out) { append_empty(out, backend::portal_suspended); }

void append_ready_for_query(std::string& out, char status) { Message(out, backend::ready_for_query).byte(status); }

void append_row_description(std::string& out, std::span<const FieldDescription> fields) {
  Message message(out, backend::row_description);
  message.integer(static_cast<std::uint16_t>(fields.size()));
  for (const FieldDescription& field : fields) {
    message.text(field.name)
        .integer(field.table_oid)
        .integer(field.column_number)
        .integer(field.type_oid)
        .integer(field.type_size)
        .integer(field.type_modifier)
        .integer(field.format);
  }
}

void append_bind(std::string& out, const BindFields& fields) {
  Message(out, frontend::bind)
      .text(fields.portal)
      .text(fields.statement)
      .integers(fields.parameter_formats)
      .values(fields.values)
      .integers(fields.result_formats);
}

void append_cancel_request(std::string& out, std::uint32_t process_id, std::uint32_t secret_key) {
  Message(out).integer(cancel_request_code).integer(process_id).integer(secret_key);
}

void append_close(std::string& out, char what, std::string_view name) {
  Message(out, frontend::close).byte(what).text(name);
}

void append_copy_fail(std::string& out, std::string_view reason) { Message(out, frontend::copy_fail).text(reason); }

void append_describe(std::string& out, char what, std::string_view name) {
  Message(out, frontend::describe).byte(what).text(name);
}

void append_execute(std::string& out, std::string_view portal, std::int32_t max_rows) {
  Message(out, frontend::execute).text(portal).integer(max_rows);
}

void append_flush(std::string& out) { append_empty(out, frontend::flush); }

void append_function_call(std::string& out, std::uint32_t function_oid, std::span<const std::int16_t> argument_formats,
                          std::span<const Value> arguments, std::int16_t result_format) {
  Message(out, frontend::function_call)
      .integer(function_oid)
      .integers(argument_formats)
      .values(arguments)
      .integer(result_format);
}

void append_gss_encryption_request(std::string& out) { Message(out).integer(gss_encryption_request_code); }

void append_parse(std::string& out, std::string_view name, std::string_view query,
                  std::span<const std::uint32_t> type_oids) {
  Message(out, frontend::parse).text(name).text(query).integers(type_oids);
}

void append_password(std::string& out, std::string_view password) { Message(out, frontend::password).text(password); }

void append_query(std::string& out, std::string_view query) { Message(out, frontend::query).text(query); }

void append_sasl_initial_response(std::string& out, std::string_view mechanism, std::string_view data) {
  Message(out, frontend::password).text(mechanism).value(data);
}

void append_sasl_response(std::string& out, std::string_view data) { Message(out, frontend::password).raw(data); }

void append_ssl_request(std::string& out) { Message(out).integer(ssl_request_code); }

void append_startup(std::string& out, Parameters parameters, std::uint32_t version) {
  Message message(out);
  message.integer(version);
  for (const auto& [name, value] : parameters) message.text(name).text(value);
  message.byte('\0');
}

void append_sync(std::string& out) { append_empty(out, frontend::sync); }

void append_terminate(std::string& out) { append_empty(out, frontend::terminate); }

void append_copy_data(std::string& out, std::string_view data) { Message(out, frontend::copy_data).raw(data); }

void append_copy_done(std::string& out) { append_empty(out, frontend::copy_done); }

}  // namespace millrace::pgwire
