#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

/// The frame of a protocol 3 message: a type byte (not in the start-up packet), a big-endian length that counts itself
/// but not the type, and a body. PostgreSQL manual, chapter 55.
namespace millrace::pgwire {

using Bytes = std::span<const std::byte>;

inline constexpr std::size_t header_size = 5;

inline std::uint32_t load_u32(const std::byte* at) {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return std::byteswap(value);
}
inline std::uint16_t load_u16(const std::byte* at) {
  std::uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return std::byteswap(value);
}

struct Header {
  char type;
  std::uint32_t length;  ///< of the body and the length itself, so at least 4

  std::size_t total() const { return std::size_t{length} + 1; }  ///< bytes on the wire
  bool valid() const { return length >= 4; }
};

/// `bytes` holds at least `header_size` bytes.
inline Header load_header(Bytes bytes) { return {static_cast<char>(bytes[0]), load_u32(bytes.data() + 1)}; }

/// Message types by the names of the manual (55.7). One letter may mean two things, one a direction.
namespace frontend {
inline constexpr char bind = 'B', close = 'C', copy_data = 'd', copy_done = 'c', copy_fail = 'f', describe = 'D',
                      execute = 'E', flush = 'H', function_call = 'F', parse = 'P', password = 'p', query = 'Q',
                      sync = 'S', terminate = 'X';
}
namespace backend {
inline constexpr char authentication = 'R', backend_key_data = 'K', bind_complete = '2', close_complete = '3',
                      command_complete = 'C', copy_data = 'd', copy_done = 'c', copy_in_response = 'G',
                      copy_out_response = 'H', copy_both_response = 'W', data_row = 'D', empty_query_response = 'I',
                      error_response = 'E', function_call_response = 'V', negotiate_protocol_version = 'v',
                      no_data = 'n', notice_response = 'N', notification_response = 'A', parameter_description = 't',
                      parameter_status = 'S', parse_complete = '1', portal_suspended = 's', ready_for_query = 'Z',
                      row_description = 'T';
}

/// The numbers in place of a protocol version in a start-up packet.
inline constexpr std::uint32_t protocol_3_0 = 196608, cancel_request_code = 80877102, ssl_request_code = 80877103,
                               gss_encryption_request_code = 80877104;

}  // namespace millrace::pgwire
