#include "pgwire/protocol/reader.hpp"

#include "pgwire/protocol/lists.hpp"

namespace millrace::pgwire {

Result<> Reader::finish() const {
  switch (fault_) {
    case Fault::byte:
      return fail("no data left in message", "08P01");
    case Fault::data:
      return fail("insufficient data left in message", "08P01");
    case Fault::string:
      return fail("invalid string in message", "08P01");
    case Fault::none:
      break;
  }
  if (!rest_.empty()) return fail("invalid message format", "08P01");
  return {};
}

FieldDescription items::Field::read(Reader& from) {
  FieldDescription field;
  field.name = from.string();
  field.table_oid = from.u32();
  field.column_number = from.i16();
  field.type_oid = from.u32();
  field.type_size = from.i16();
  field.type_modifier = from.i32();
  field.format = from.i16();
  return field;
}

items::Notice::type items::Notice::read(Reader& from) {
  const char code = static_cast<char>(from.u8());
  return {code, from.string()};
}

}  // namespace millrace::pgwire
