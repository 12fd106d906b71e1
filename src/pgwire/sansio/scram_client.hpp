#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "pgwire/sansio/credentials.hpp"

namespace millrace::pgwire {

/// The client's half of a SCRAM-SHA-256 exchange (RFC 5802, 7677), without its framing. The server is not trusted:
/// every part of its messages is checked, and its iteration count is bounded.
class ScramClient {
 public:
  static constexpr std::uint32_t max_iterations = 1'000'000;

  enum class Binding {
    unsupported,  ///< we can't bind the channel ("n")
    not_offered,  ///< we could, but the server didn't offer it ("y"): the server refuses if it did
    bound,        ///< SCRAM-SHA-256-PLUS
  };
  struct Options {
    std::variant<PlainPassword, ScramKeys> secret = {};
    Binding binding = Binding::unsupported;
    std::vector<std::byte> tls_server_end_point = {};  ///< for `bound`
  };
  explicit ScramClient(Options options);

  std::string client_first() const;
  /// Gives the client-final-message. With a plain password it takes PBKDF2's time.
  Result<std::string> on_server_first(std::string_view message);
  /// The server knows the password too, or there is an error.
  Result<> on_server_final(std::string_view message) const;

 private:
  std::string binding_header() const;

  Options options_;
  std::string nonce_;
  Digest server_signature_{};
};

}  // namespace millrace::pgwire
