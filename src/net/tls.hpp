#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"

using SSL_CTX = struct ssl_ctx_st;

namespace millrace::net {

/// Certificates and rules of one side of TLS (1.2 and newer), shared by all its connections. Immutable, thread-safe.
class TlsContext {
 public:
  /// How a server's certificate is checked, by libpq's names (manual, 34.19).
  enum class Verify { none, ca, full };

  static Result<std::shared_ptr<const TlsContext>> server(const std::string& certificate_file,
                                                          const std::string& key_file);
  /// `ca_file` may be empty: the system's authorities are used then.
  static Result<std::shared_ptr<const TlsContext>> client(Verify verify, const std::string& ca_file);

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* native() const { return context_; }
  Verify verify() const { return verify_; }

 private:
  TlsContext(SSL_CTX* context, Verify verify) : context_(context), verify_(verify) {}
  SSL_CTX* context_;
  Verify verify_;
};

}  // namespace millrace::net
