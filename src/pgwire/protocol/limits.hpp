#pragma once

#include <cstdint>

#include "pgwire/protocol/frame.hpp"

/// How long a message of each type may claim to be (its length word, which counts itself): what PostgreSQL 15 and libpq
/// accept. 0: there is no such message in that direction.
namespace millrace::pgwire {

inline constexpr std::uint32_t small_message_limit = 10'000;
inline constexpr std::uint32_t large_message_limit = 0x3fff'fffe;
inline constexpr std::uint32_t max_password_length = 65'535;  ///< 'p' during log-in
inline constexpr std::uint32_t max_sasl_length = 1'024;       ///< 'p' during a SASL exchange

namespace frontend {
/// Outside log-in, so a password message is unknown.
constexpr std::uint32_t max_length(char type) {
  switch (type) {
    case bind:
    case copy_data:
    case function_call:
    case parse:
    case query:
      return large_message_limit;
    case close:
    case copy_done:
    case copy_fail:
    case describe:
    case execute:
    case flush:
    case sync:
    case terminate:
      return small_message_limit;
    default:
      return 0;
  }
}
}  // namespace frontend

namespace backend {
/// Of any message during log-in. A server that can't start a process says so with an 'E' and bare text: its first
/// letters, read as a length, are beyond this too.
inline constexpr std::uint32_t max_login_length = 30'000;

/// libpq takes only these kinds above 30,000 bytes; the others are held whole by whoever reads them.
constexpr std::uint32_t max_length(char type) {
  switch (type) {
    case copy_data:
    case data_row:
    case error_response:
    case function_call_response:
    case notice_response:
    case notification_response:
    case parameter_description:
    case row_description:
      return 0x7fff'ffff;
    case authentication:
    case backend_key_data:
    case bind_complete:
    case close_complete:
    case command_complete:
    case copy_done:
    case copy_in_response:
    case copy_out_response:
    case copy_both_response:
    case empty_query_response:
    case negotiate_protocol_version:
    case no_data:
    case parameter_status:
    case parse_complete:
    case portal_suspended:
    case ready_for_query:
      return 30'000;
    default:
      return 0;
  }
}
}  // namespace backend

}  // namespace millrace::pgwire
