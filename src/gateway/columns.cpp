#include "gateway/columns.hpp"

#include <functional>

#include "pgwire/protocol/decode.hpp"

namespace millrace::gateway {

std::uint64_t identify_columns(pgwire::Bytes row_description) {
  const auto fields = pgwire::decode_row_description(row_description);
  if (!fields) return 0;
  std::uint64_t columns = no_columns;
  for (const auto& field : *fields) {
    columns = columns * 0x9e3779b97f4a7c15 + std::hash<std::string_view>{}(field.name);
    columns = columns * 0x9e3779b97f4a7c15 +
              (std::uint64_t{field.type_oid} << 32 | static_cast<std::uint32_t>(field.type_modifier));
  }
  return columns == 0 ? no_columns + 1 : columns;
}

}  // namespace millrace::gateway
