#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pgwire/protocol/frame.hpp"
#include "pgwire/sansio/credentials.hpp"

namespace millrace::pgwire {

/// Logs in to a server: Millrace as the client. Fed with whole messages until the first ReadyForQuery; answers with
/// bytes to send.
///
/// Takes trust, password (only over TLS or a Unix socket), md5, SCRAM-SHA-256 and -PLUS; checks the server's own SCRAM
/// signature. A server that sends anything out of order, too large or malformed gets an Error, never a crash. Not
/// thread-safe.
class ServerLogin {
 public:
  struct Options {
    std::string user = {};
    ServerCredential credential = {};
    std::vector<std::pair<std::string, std::string>> parameters =
        {};  ///< of the start-up packet, with user and database
    std::vector<std::byte> tls_server_end_point = {};
    bool secure_transport = false;  ///< TLS or a Unix socket: a plain password may be sent
  };
  struct Session {
    std::vector<std::pair<std::string, std::string>> parameter_statuses;  ///< in the order they came
    std::uint32_t process_id = 0;
    std::uint32_t secret_key = 0;
  };
  enum class State { more, ready, failed };
  struct Step {
    State state;
    std::string send;
    Error error;                 ///< for failed: the server's own SQLSTATE and message (in message), or 08P01
    std::string error_response;  ///< for failed by an ErrorResponse: that message, whole, to be passed on
  };

  explicit ServerLogin(Options options);
  ~ServerLogin();

  std::string startup_packet() const;
  /// A SCRAM exchange with a plain password takes PBKDF2 in one of its steps (a millisecond for 4,096 iterations; a
  /// server that asks for more than 1,000,000, a quarter of a second, is refused): where true, call `on_message` on a
  /// worker thread.
  bool is_slow(char type) const;
  Step on_message(char type, Bytes body);
  const Session& session() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::pgwire
