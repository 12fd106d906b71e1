#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "pgwire/sansio/credentials.hpp"

namespace millrace::pgwire {

inline constexpr std::string_view scram_sha_256 = "SCRAM-SHA-256", scram_sha_256_plus = "SCRAM-SHA-256-PLUS";

/// The server's half of a SCRAM-SHA-256 exchange (RFC 5802, 7677), without its framing: two messages in, two out.
class ScramServer {
 public:
  struct Options {
    std::string mechanism = {};  ///< which of the two the client chose
    ScramVerifier verifier = {};
    bool doomed = false;                               ///< the verifier is made up: no proof is right
    std::vector<std::byte> tls_server_end_point = {};  ///< not empty: -PLUS was offered
  };
  explicit ScramServer(Options options) : options_(std::move(options)) {}

  /// Gives the server-first-message.
  Result<std::string> on_client_first(std::string_view message);

  struct Proven {
    std::string server_final;
    ScramKeys keys;  ///< learnt from the proof
  };
  /// nullopt: a well-formed exchange, but the wrong password.
  Result<std::optional<Proven>> on_client_final(std::string_view message);

 private:
  Result<> check_channel_binding_flag(char flag, std::string_view type) const;
  std::string expected_channel_binding() const;

  Options options_;
  char binding_flag_ = 'n';
  std::string nonce_;
  std::string first_messages_;  ///< client-first-message-bare, comma, server-first-message
};

}  // namespace millrace::pgwire
