#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::pgwire {

/// A column of a RowDescription.
struct FieldDescription {
  std::string_view name;
  std::uint32_t table_oid = 0;
  std::int16_t column_number = 0;
  std::uint32_t type_oid = 25;  ///< text
  std::int16_t type_size = -1;
  std::int32_t type_modifier = -1;
  std::int16_t format = 0;  ///< 0 text, 1 binary
};

}  // namespace millrace::pgwire
