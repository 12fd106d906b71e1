#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pgwire/protocol/frame.hpp"
#include "pgwire/sansio/credentials.hpp"

namespace millrace::pgwire {

enum class AuthMethod { trust, md5, scram_sha_256 };

/// Proves who a client is: Millrace as the server. Fed with the bodies of the client's 'p' messages; answers with bytes
/// to send.
///
/// An unknown user runs the same exchange with a made-up verifier and fails at its end, so that an answer doesn't tell
/// which users exist (as PostgreSQL does). Not thread-safe.
class ClientAuthentication {
 public:
  struct Options {
    AuthMethod method = AuthMethod::scram_sha_256;
    std::string user = {};
    StoredSecret secret = {};                          ///< what is known of the user; monostate: unknown user
    std::vector<std::byte> tls_server_end_point = {};  ///< not empty: SCRAM-SHA-256-PLUS is offered
    bool tls = false;
    std::string mock_seed = {};  ///< stable: makes the made-up salt of an unknown user the same each time
    std::optional<ScramVerifier> derived = {};  ///< of a plain `secret`, by `prepare`
  };

  /// Under SCRAM a plain `secret` needs a verifier, which takes a millisecond of CPU: where `needs_preparation`, call
  /// `prepare` on a worker thread before the constructor. (Left out, the constructor does it.) The verifier depends
  /// only on user, secret and mock_seed, so it may be kept as long as those stay.
  static bool needs_preparation(const Options& options);
  static void prepare(Options& options);

  enum class State { more, accepted, rejected };
  struct Step {
    State state;
    /// Messages to send to the client; for accepted: up to but without AuthenticationOk.
    std::string send;
    /// For rejected: as PostgreSQL words it, mostly 28P01 or 08P01.
    Error error;
    /// For accepted: what the server can be logged in to with; monostate for trust without a secret that serves.
    ServerCredential credential;
  };

  explicit ClientAuthentication(Options options);
  ~ClientAuthentication();

  Step start();
  Step on_password_message(Bytes body);
  /// What to tell a client that sends a message of another type than 'p' now; the end of its log-in.
  Error unexpected_message(char type) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::pgwire
