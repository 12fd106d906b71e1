#include "net/tls.hpp"

#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace millrace::net {
namespace {

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown error";
}

SSL_CTX* new_context(const SSL_METHOD* method) {
  SSL_CTX* context = SSL_CTX_new(method);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Idle connections keep no buffers; a write may go on from another address, and in parts.
  SSL_CTX_set_mode(context,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const std::string& certificate_file,
                                                             const std::string& key_file) {
  std::shared_ptr<const TlsContext> made(new TlsContext(new_context(TLS_server_method()), Verify::none));
  SSL_CTX* context = made->context_;
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);  // PostgreSQL's clients don't resume sessions
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return fail(fmt::format("could not load the certificate \"{}\": {}", certificate_file, openssl_reason()));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(fmt::format("could not load the private key \"{}\": {}", key_file, openssl_reason()));
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return fail(
        fmt::format("the private key \"{}\" does not belong to the certificate \"{}\"", key_file, certificate_file));
  }
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(Verify verify, const std::string& ca_file) {
  std::shared_ptr<const TlsContext> made(new TlsContext(new_context(TLS_client_method()), verify));
  if (verify == Verify::none) return made;
  SSL_CTX* context = made->context_;
  ERR_clear_error();
  const bool loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context) == 1
                                      : SSL_CTX_load_verify_file(context, ca_file.c_str()) == 1;
  if (!loaded)
    return fail(fmt::format("could not load the certificate authorities \"{}\": {}", ca_file, openssl_reason()));
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return made;
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

}  // namespace millrace::net
