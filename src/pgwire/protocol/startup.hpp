#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "pgwire/protocol/frame.hpp"

/// The first packet of a connection, which has no type byte: a length, then a version or a request code, then a body.
namespace millrace::pgwire {

/// PostgreSQL's own limits of a start-up packet's length word (it counts itself).
inline constexpr std::uint32_t min_startup_length = 8, max_startup_length = 10004;
inline constexpr std::uint16_t protocol_major = 3, protocol_minor = 0;

enum class Replication { none, physical, logical };

struct StartupRequest {
  std::uint16_t major = 0;
  std::uint16_t minor = 0;
  /// In the order sent, repeated names included, without the `_pq_.` options.
  std::vector<std::pair<std::string, std::string>> parameters;
  /// `_pq_.*` names. If there are any, or `minor` is above ours, the client is to be sent NegotiateProtocolVersion.
  std::vector<std::string> unknown_options;

  /// The last one of that name wins; empty if absent.
  std::string_view parameter(std::string_view name) const;
  /// Cut to PostgreSQL's 63 bytes; never empty.
  std::string_view user() const;
  /// The user's name if the client names none, as in PostgreSQL.
  std::string_view database() const;
  Replication replication() const;
  bool needs_negotiation() const { return minor > protocol_minor || !unknown_options.empty(); }
};

struct CancelRequest {
  std::uint32_t process_id = 0;
  std::uint32_t secret_key = 0;
};
struct SslRequest {};
struct GssEncryptionRequest {};

using StartupPacket = std::variant<StartupRequest, CancelRequest, SslRequest, GssEncryptionRequest>;

/// To be asked with the first four bytes, before any more is waited for.
inline bool valid_startup_length(std::uint32_t length) {
  return length >= min_startup_length && length <= max_startup_length;
}

/// Which of the two kinds of encryption a connection has asked for already. Each may be asked for once, GSSAPI not
/// after an accepted TLS: a request beyond that is a version that doesn't exist.
struct AskedBefore {
  bool ssl = false;
  bool gss = false;
};

/// `whole_packet` starts with the length word. Errors are PostgreSQL's: 08P01, 0A000 (not version 3), 28000 (no user),
/// 22023 (a `replication` value that isn't one). Where `valid_startup_length` is false, PostgreSQL closes without an
/// answer.
Result<StartupPacket> decode_startup(Bytes whole_packet, AskedBefore asked = {});

/// Appends the answer to a packet that `decode_startup` refused: an ErrorResponse, or for a client of version 2 or
/// older, which can't read one, the error in its own form.
void append_startup_error(std::string& out, Bytes whole_packet, const Error& error);

}  // namespace millrace::pgwire
