#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace millrace::gateway {

/// A message's type and length, for a message that is put together from parts. `length` counts itself, as on the wire.
inline void append_header(std::string& out, char type, std::size_t length) {
  out += type;
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(static_cast<std::uint32_t>(length) >> shift);
}

}  // namespace millrace::gateway
