#include "pgwire/protocol/decode.hpp"

#include <fmt/core.h>

namespace millrace::pgwire {
namespace {

std::unexpected<Error> malformed(std::string message) { return fail(std::move(message), "08P01"); }

template <typename T>
Result<T> finished(const Reader& reader, T view) {
  if (auto end = reader.finish(); !end) return std::unexpected(std::move(end.error()));
  return view;
}

template <typename T>
IntegerList<T> integers(Reader& from, std::size_t count) {
  return IntegerList<T>(from.bytes(count * sizeof(T)));
}

// Walks `count` items, so that the list made of them can be gone through without checks. Stops at the first that isn't
// there: a count that the body can't hold costs nothing.
template <typename Item>
ItemList<Item> list(Reader& from, std::size_t count) {
  const Bytes start = from.rest();
  for (std::size_t i = 0; i < count && from.good(); ++i) Item::read(from);
  return {start, from.good() ? count : 0};
}

// The first of `count` lengths that is negative and no null's; 0 where there is none.
std::int32_t negative_length(Reader from, std::size_t count) {
  for (std::size_t i = 0; i < count && from.good(); ++i) {
    const Bytes rest = from.rest();
    if (const std::int32_t length = Reader(rest).i32(); length < -1) return length;
    from.value();
  }
  return 0;
}

Result<TargetView> decode_target(Bytes body, std::string_view message_name) {
  Reader reader(body);
  TargetView view;
  view.what = static_cast<char>(reader.u8());
  view.name = reader.string();
  if (auto end = reader.finish(); !end) return std::unexpected(std::move(end.error()));
  if (view.what != 'S' && view.what != 'P') {
    return malformed(fmt::format("invalid {} message subtype {}", message_name, static_cast<unsigned char>(view.what)));
  }
  return view;
}

Result<std::string_view> decode_string(Bytes body) {
  Reader reader(body);
  const std::string_view text = reader.string();
  return finished(reader, text);
}

}  // namespace

Result<BindView> decode_bind(Bytes body) {
  Reader reader(body);
  BindView view;
  view.portal = reader.string();
  view.statement = reader.string();
  view.parameter_formats = integers<std::int16_t>(reader, reader.u16());
  const std::size_t count = reader.u16();
  if (reader.good() && view.parameter_formats.size() > 1 && view.parameter_formats.size() != count) {
    return malformed(
        fmt::format("bind message has {} parameter formats but {} parameters", view.parameter_formats.size(), count));
  }
  view.values = list<items::Value>(reader, count);
  view.result_formats = integers<std::int16_t>(reader, reader.u16());
  return finished(reader, view);
}

Result<TargetView> decode_close(Bytes body) { return decode_target(body, "CLOSE"); }

Result<TargetView> decode_describe(Bytes body) { return decode_target(body, "DESCRIBE"); }

Result<std::string_view> decode_copy_fail(Bytes body) { return decode_string(body); }

Result<ExecuteView> decode_execute(Bytes body) {
  Reader reader(body);
  ExecuteView view;
  view.portal = reader.string();
  view.max_rows = reader.i32();
  return finished(reader, view);
}

Result<FunctionCallView> decode_function_call(Bytes body) {
  Reader reader(body);
  FunctionCallView view;
  view.function_oid = reader.u32();
  view.argument_formats = integers<std::int16_t>(reader, reader.u16());
  const std::size_t count = reader.u16();
  if (reader.good() && view.argument_formats.size() > 1 && view.argument_formats.size() != count) {
    return malformed(fmt::format("function call message contains {} argument formats but {} arguments",
                                 view.argument_formats.size(), count));
  }
  if (const std::int32_t length = negative_length(reader, count); length < 0) {
    return malformed(fmt::format("invalid argument size {} in function call message", length));
  }
  view.arguments = list<items::Value>(reader, count);
  view.result_format = reader.i16();
  return finished(reader, view);
}

Result<ParseView> decode_parse(Bytes body) {
  Reader reader(body);
  ParseView view;
  view.name = reader.string();
  view.query = reader.string();
  view.type_oids = integers<std::uint32_t>(reader, reader.u16());
  return finished(reader, view);
}

Result<std::string_view> decode_password(Bytes body) {
  auto password = decode_string(body);
  if (!password) return malformed("invalid password packet size");
  return password;
}

Result<std::string_view> decode_query(Bytes body) { return decode_string(body); }

Result<SaslInitialResponseView> decode_sasl_initial_response(Bytes body) {
  Reader reader(body);
  SaslInitialResponseView view;
  view.mechanism = reader.string();
  if (const auto data = reader.value()) view.data = as_text(*data);
  return finished(reader, view);
}

Result<> decode_empty(Bytes body) { return Reader(body).finish(); }

Result<AuthenticationView> decode_authentication(Bytes body) {
  Reader reader(body);
  AuthenticationView view;
  view.kind = static_cast<AuthenticationKind>(reader.u32());
  switch (view.kind) {
    case AuthenticationKind::md5:
      view.data = reader.bytes(4);
      break;
    case AuthenticationKind::scm:
      view.data = reader.bytes(2);
      break;
    case AuthenticationKind::gss_continue:
    case AuthenticationKind::sasl_continue:
    case AuthenticationKind::sasl_final:
      view.data = reader.bytes(reader.rest().size());
      break;
    case AuthenticationKind::sasl: {
      const Bytes start = reader.rest();
      std::size_t count = 0;
      while (reader.good() && !reader.string().empty()) ++count;
      view.mechanisms = StringList(start, reader.good() ? count : 0);
      break;
    }
    default:
      break;
  }
  return finished(reader, view);
}

Result<BackendKeyDataView> decode_backend_key_data(Bytes body) {
  Reader reader(body);
  BackendKeyDataView view;
  view.process_id = reader.u32();
  view.secret_key = reader.u32();
  return finished(reader, view);
}

Result<CommandCompleteView> decode_command_complete(Bytes body) {
  Reader reader(body);
  const std::string_view tag = reader.string();
  return finished(reader, CommandCompleteView{tag, command_rows(tag)});
}

Result<CopyResponseView> decode_copy_response(Bytes body) {
  Reader reader(body);
  CopyResponseView view;
  view.format = static_cast<std::int8_t>(reader.u8());
  view.column_formats = integers<std::int16_t>(reader, reader.u16());
  return finished(reader, view);
}

Result<ValueList> decode_data_row(Bytes body) {
  Reader reader(body);
  const auto values = list<items::Value>(reader, reader.u16());
  return finished(reader, values);
}

Result<std::optional<Bytes>> decode_function_call_response(Bytes body) {
  Reader reader(body);
  const auto value = reader.value();
  return finished(reader, value);
}

Result<NegotiateProtocolVersionView> decode_negotiate_protocol_version(Bytes body) {
  Reader reader(body);
  NegotiateProtocolVersionView view;
  view.newest_version = reader.u32();
  view.unknown_options = list<items::String>(reader, reader.u32());
  return finished(reader, view);
}

std::string_view NoticeView::find(char code) const {
  for (const auto& field : fields) {
    if (field.code == code) return field.text;
  }
  return {};
}

std::string_view NoticeView::severity() const {
  const std::string_view untranslated = find('V');
  return untranslated.empty() ? find('S') : untranslated;
}

Result<NoticeView> decode_notice(Bytes body) {
  Reader reader(body);
  std::size_t count = 0;
  while (reader.good() && reader.u8() != 0) {
    reader.string();
    ++count;
  }
  return finished(reader, NoticeView{NoticeFieldList(body, count)});
}

Result<NotificationView> decode_notification(Bytes body) {
  Reader reader(body);
  NotificationView view;
  view.process_id = reader.u32();
  view.channel = reader.string();
  view.payload = reader.string();
  return finished(reader, view);
}

Result<OidList> decode_parameter_description(Bytes body) {
  Reader reader(body);
  const auto oids = integers<std::uint32_t>(reader, reader.u16());
  return finished(reader, oids);
}

Result<ParameterStatusView> decode_parameter_status(Bytes body) {
  Reader reader(body);
  ParameterStatusView view;
  view.name = reader.string();
  view.value = reader.string();
  return finished(reader, view);
}

Result<char> decode_ready_for_query(Bytes body) {
  Reader reader(body);
  const char status = static_cast<char>(reader.u8());
  if (auto end = reader.finish(); !end) return std::unexpected(std::move(end.error()));
  if (status != 'I' && status != 'T' && status != 'E') return malformed("invalid transaction status in message");
  return status;
}

Result<FieldList> decode_row_description(Bytes body) {
  Reader reader(body);
  const auto fields = list<items::Field>(reader, reader.u16());
  return finished(reader, fields);
}

}  // namespace millrace::pgwire
