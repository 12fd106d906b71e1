#include "net/stream.hpp"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>

#include "net/poller.hpp"
#include "net/signal.hpp"

namespace millrace::net {
namespace {

using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

error_code last_error() { return {errno, boost::system::system_category()}; }

// The C library's wrappers are points of thread cancellation, which nobody uses here and each call pays for.
ssize_t receive(int fd, std::span<std::byte> into) {
  return ::syscall(SYS_recvfrom, fd, into.data(), into.size(), MSG_DONTWAIT, nullptr, nullptr);
}
ssize_t send(int fd, Bytes bytes) {
  return ::syscall(SYS_sendto, fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
}

std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "the connection was closed";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown TLS error";
}

void set_options(Socket& socket, int family) {
  if (family == AF_UNIX) return;
  const int fd = socket.native_handle();
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

int family_of(Socket& socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(socket.native_handle(), reinterpret_cast<sockaddr*>(&address), &length);
  return address.ss_family;
}

}  // namespace

/// An SSL object over the socket's own descriptor; what it wants, the stream waits for.
class Stream::Tls {
 public:
  Tls(std::shared_ptr<const TlsContext> context, int fd)
      : context_(std::move(context)), ssl_(SSL_new(context_->native())) {
    SSL_set_fd(ssl_, fd);
  }
  ~Tls() { SSL_free(ssl_); }
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  SSL* native() const { return ssl_; }
  const TlsContext& context() const { return *context_; }

  enum class Want { nothing, read, write, error };

  /// After an SSL call that answered `result`. Also turns the end of the stream and errors into `error`.
  Want want(int result, error_code& error) {
    switch (SSL_get_error(ssl_, result)) {
      case SSL_ERROR_NONE:
        return Want::nothing;
      case SSL_ERROR_WANT_READ:
        return Want::read;
      case SSL_ERROR_WANT_WRITE:
        return Want::write;
      case SSL_ERROR_ZERO_RETURN:
        error = asio::error::eof;
        return Want::error;
      case SSL_ERROR_SYSCALL:
        error = errno != 0 ? last_error() : error_code(asio::error::eof);
        return Want::error;
      default:
        error = asio::error::connection_aborted;
        return Want::error;
    }
  }

 private:
  std::shared_ptr<const TlsContext> context_;
  SSL* ssl_;
};

/// A descriptor that has left Asio for the Poller.
class Stream::Watch final : public Poller::Watcher {
 public:
  explicit Watch(int descriptor) : descriptor_(descriptor) {}
  ~Watch() { close(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  void start(asio::io_context& context, Reader& reader) {
    may_have_bytes_ = true;
    poller_ = &Poller::of(context);
    reader_ = &reader;
    writable_ = std::make_unique<Signal>(context);
    if (!poller_->add(descriptor_, *this)) ended_ = true;
  }
  void stop() {
    if (poller_ != nullptr) poller_->remove(descriptor_, *this);
    poller_ = nullptr;
  }
  void close() {
    if (descriptor_ < 0) return;
    stop();
    ::close(std::exchange(descriptor_, -1));
    if (writable_) writable_->set();
  }
  int descriptor() const { return descriptor_; }
  bool ended() const { return ended_; }
  bool may_have_bytes() const { return may_have_bytes_; }
  void has_no_bytes() { may_have_bytes_ = false; }
  asio::awaitable<void> writable() {
    wants_to_write_ = true;
    co_await writable_->wait(std::chrono::hours(24));
  }

  void on_events(std::uint32_t events) override {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) ended_ = true;
    if ((events & EPOLLOUT) != 0 && std::exchange(wants_to_write_, false)) writable_->set();
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0) return;
    may_have_bytes_ = true;
    reader_->on_readable();  // may destroy this
  }

 private:
  int descriptor_;
  Poller* poller_ = nullptr;
  Reader* reader_ = nullptr;
  std::unique_ptr<Signal> writable_;
  bool wants_to_write_ = false;
  bool may_have_bytes_ = true;  ///< none were seen to be all, or some were told since
  bool ended_ = false;          ///< the peer's end was told, and won't be again
};

Stream::Stream(Socket socket) : socket_(std::move(socket)) {
  error_code ignored;
  socket_.native_non_blocking(true, ignored);
  set_options(socket_, family_of(socket_));
}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

void Stream::notify(asio::io_context& context, Reader& reader) {
  if (!watch_) {
    error_code ignored;
    watch_ = std::make_unique<Watch>(socket_.release(ignored));
  }
  watch_->start(context, reader);
}

void Stream::stop_notifying() { watch_->stop(); }

bool Stream::drained(std::size_t got, std::size_t asked) const {
  // TLS may hold bytes that the kernel no longer has. After the peer's end there is no further event.
  return got == 0 || (got < asked && !tls_ && !watch_->ended());
}

asio::awaitable<void> Stream::wait_writable(error_code& error) {
  if (watch_) {
    co_await watch_->writable();
    if (!is_open()) error = asio::error::operation_aborted;
  } else {
    co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, error));
  }
}

asio::awaitable<std::size_t> Stream::read_some(std::span<std::byte> into, error_code& error) {
  if (!tls_) {
    co_return co_await socket_.async_read_some(asio::buffer(into.data(), into.size()),
                                               asio::redirect_error(asio::use_awaitable, error));
  }
  for (;;) {
    if (!socket_.is_open()) {
      error = asio::error::operation_aborted;
      co_return 0;
    }
    const std::size_t got = try_read(into, error);
    if (got > 0 || error) co_return got;
    co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return 0;
  }
}

std::size_t Stream::try_read(std::span<std::byte> into, error_code& error) {
  if (!is_open()) {
    error = asio::error::operation_aborted;
    return 0;
  }
  if (!tls_) {
    if (watch_ && !watch_->may_have_bytes()) return 0;
    const ssize_t got = receive(native_handle(), into);
    if (got > 0) {
      if (watch_ && drained(static_cast<std::size_t>(got), into.size())) watch_->has_no_bytes();
      return static_cast<std::size_t>(got);
    }
    if (got == 0 && !into.empty()) {
      error = asio::error::eof;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      error = last_error();
    }
    return 0;
  }
  errno = 0;
  ERR_clear_error();
  std::size_t got = 0;
  const int result = SSL_read_ex(tls_->native(), into.data(), into.size(), &got);
  // TLS 1.3 reads never want to write: key updates are answered with the next write.
  return tls_->want(result, error) == Tls::Want::nothing ? got : 0;
}

std::size_t Stream::try_write(Bytes bytes, error_code& error) {
  if (!is_open()) {
    error = asio::error::operation_aborted;
    return 0;
  }
  if (!tls_) {
    const ssize_t sent = send(native_handle(), bytes);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) error = last_error();
    return 0;
  }
  std::size_t total = 0;
  while (total < bytes.size()) {
    errno = 0;
    ERR_clear_error();
    std::size_t sent = 0;
    const int result = SSL_write_ex(tls_->native(), bytes.data() + total, bytes.size() - total, &sent);
    if (tls_->want(result, error) != Tls::Want::nothing) break;
    total += sent;
  }
  return total;
}

asio::awaitable<void> Stream::write_all(Bytes bytes, error_code& error) {
  while (!bytes.empty()) {
    bytes = bytes.subspan(try_write(bytes, error));
    if (error || bytes.empty()) co_return;
    co_await wait_writable(error);
    if (error) co_return;
  }
}

asio::awaitable<Result<>> Stream::start_tls_server(std::shared_ptr<const TlsContext> context) {
  auto tls = std::make_unique<Tls>(std::move(context), socket_.native_handle());
  SSL_set_accept_state(tls->native());
  co_return co_await handshake(std::move(tls));
}

asio::awaitable<Result<>> Stream::start_tls_client(std::shared_ptr<const TlsContext> context, std::string server_name) {
  auto tls = std::make_unique<Tls>(std::move(context), socket_.native_handle());
  SSL_set_connect_state(tls->native());
  error_code not_an_address;
  asio::ip::make_address(server_name, not_an_address);
  const bool is_name = static_cast<bool>(not_an_address);
  if (is_name) SSL_set_tlsext_host_name(tls->native(), server_name.c_str());
  if (tls->context().verify() == TlsContext::Verify::full) {
    X509_VERIFY_PARAM* parameters = SSL_get0_param(tls->native());
    if (is_name) {
      X509_VERIFY_PARAM_set1_host(parameters, server_name.c_str(), server_name.size());
    } else {
      X509_VERIFY_PARAM_set1_ip_asc(parameters, server_name.c_str());
    }
  }
  co_return co_await handshake(std::move(tls));
}

asio::awaitable<Result<>> Stream::handshake(std::unique_ptr<Tls> tls) {
  for (;;) {
    if (!socket_.is_open()) co_return fail("the connection was closed during the TLS handshake", "08006");
    errno = 0;
    ERR_clear_error();
    error_code error;
    const int result = SSL_do_handshake(tls->native());
    switch (tls->want(result, error)) {
      case Tls::Want::nothing:
        tls_ = std::move(tls);
        co_return Result<>{};
      case Tls::Want::read:
        co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
        break;
      case Tls::Want::write:
        co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(asio::use_awaitable, error));
        break;
      case Tls::Want::error: {
        const long verify = SSL_get_verify_result(tls->native());
        co_return fail(
            "the TLS handshake failed: " +
                (verify != X509_V_OK ? std::string(X509_verify_cert_error_string(verify)) : openssl_reason()),
            "08006");
      }
    }
    if (error) co_return fail("the TLS handshake failed: " + error.message(), "08006");
  }
}

bool Stream::encrypted() const { return tls_ != nullptr; }

std::vector<std::byte> Stream::tls_server_end_point() const {
  if (!tls_) return {};
  // The server's own certificate at the server's side, the peer's at the client's.
  X509* certificate = SSL_is_server(tls_->native()) != 0 ? SSL_get_certificate(tls_->native())
                                                         : SSL_get0_peer_certificate(tls_->native());
  if (certificate == nullptr) return {};
  int digest_id = NID_undef;
  if (OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest_id, nullptr) == 0) return {};
  // RFC 5929, 4.1: MD5 and SHA-1 are replaced by SHA-256. Ed25519 names no digest, so there is no binding.
  if (digest_id == NID_undef) return {};
  if (digest_id == NID_md5 || digest_id == NID_sha1) digest_id = NID_sha256;
  const EVP_MD* digest = EVP_get_digestbynid(digest_id);
  std::vector<std::byte> hash(EVP_MAX_MD_SIZE);
  unsigned length = 0;
  if (digest == nullptr ||
      X509_digest(certificate, digest, reinterpret_cast<unsigned char*>(hash.data()), &length) == 0) {
    return {};
  }
  hash.resize(length);
  return hash;
}

void Stream::finish_sending() {
  if (tls_) {
    ERR_clear_error();
    SSL_shutdown(tls_->native());
  }
  error_code ignored;
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void Stream::close() {
  if (!is_open()) return;
  if (tls_) {
    ERR_clear_error();
    SSL_shutdown(tls_->native());  // sends close_notify if the kernel takes it; the answer isn't awaited
  }
  if (watch_) {
    watch_->close();
    return;
  }
  error_code ignored;
  socket_.close(ignored);
}

void Stream::cancel() {
  error_code ignored;
  socket_.cancel(ignored);
}

bool Stream::is_open() const { return watch_ ? watch_->descriptor() >= 0 : socket_.is_open(); }

int Stream::native_handle() const { return watch_ ? watch_->descriptor() : socket_.native_handle(); }

std::string Stream::peer() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (!is_open() || getpeername(native_handle(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return "unknown";
  if (address.ss_family == AF_UNIX) return "unix";
  asio::ip::tcp::endpoint tcp;
  tcp.resize(length);
  std::memcpy(tcp.data(), &address, length);
  const std::string host = tcp.address().to_string();
  return tcp.address().is_v6() ? fmt::format("[{}]:{}", host, tcp.port()) : fmt::format("{}:{}", host, tcp.port());
}

namespace {

std::string unix_path(const Endpoint& endpoint) { return fmt::format("{}/.s.PGSQL.{}", endpoint.host, endpoint.port); }

using Addresses = std::vector<asio::generic::stream_protocol::endpoint>;

/// It may go on, on a thread of Asio's, when nobody waits for it any more.
struct Lookup {
  explicit Lookup(asio::io_context& context) : resolver(context), done(context) {}
  asio::ip::tcp::resolver resolver;
  asio::ip::tcp::resolver::results_type found;
  error_code error;
  Signal done;
};

asio::awaitable<Result<Addresses>> resolve(asio::io_context& context, Endpoint endpoint,
                                           std::chrono::milliseconds timeout) {
  Addresses addresses;
  error_code error;
  if (endpoint.host.starts_with('/')) {
    const std::string path = unix_path(endpoint);
    if (path.size() >= sizeof(sockaddr_un::sun_path))
      co_return fail("the Unix socket's path is too long: " + path, "08001");
    addresses.emplace_back(asio::local::stream_protocol::endpoint(path));
    co_return addresses;
  }
  if (const auto address = asio::ip::make_address(endpoint.host, error); !error) {
    addresses.emplace_back(asio::ip::tcp::endpoint(address, endpoint.port));
    co_return addresses;
  }
  const auto lookup = std::make_shared<Lookup>(context);
  lookup->resolver.async_resolve(endpoint.host, std::to_string(endpoint.port), [lookup](error_code failed, auto found) {
    lookup->error = failed;
    lookup->found = std::move(found);
    lookup->done.set();
  });
  if (!co_await lookup->done.wait(timeout)) {
    lookup->resolver.cancel();
    lookup->error = asio::error::timed_out;
  }
  if (lookup->error) {
    co_return fail(fmt::format("could not resolve \"{}\": {}", endpoint.host, lookup->error.message()),
                   std::string(not_resolved));
  }
  for (const auto& entry : lookup->found) addresses.emplace_back(entry.endpoint());
  co_return addresses;
}

/// Of descriptors, memory or local ports: it says nothing of the server.
bool is_lack_of_ours(error_code error) {
  using enum boost::system::errc::errc_t;
  for (const auto lack : {too_many_files_open, too_many_files_open_in_system, no_buffer_space, not_enough_memory,
                          address_not_available}) {
    if (error == lack) return true;
  }
  return false;
}

}  // namespace

asio::awaitable<Result<Stream>> connect(asio::io_context& context, Endpoint endpoint,
                                        std::chrono::milliseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  auto addresses = co_await resolve(context, endpoint, timeout);
  if (!addresses) co_return std::unexpected(addresses.error());
  error_code error = asio::error::host_not_found;
  auto left = static_cast<int>(addresses->size());
  for (const auto& address : *addresses) {
    const auto share = (until - std::chrono::steady_clock::now()) / left--;
    Socket socket(context);
    socket.open(address.protocol(), error);
    if (error) continue;
    asio::steady_timer limit(context, share);
    limit.async_wait([&socket](error_code fired) {
      if (!fired) socket.close(fired);
    });
    co_await socket.async_connect(address, asio::redirect_error(asio::use_awaitable, error));
    // A timer that has just fired may still be queued and would touch a socket that is gone: let it run first.
    if (limit.cancel() == 0) {
      co_await asio::post(context, asio::use_awaitable);
    }
    if (!socket.is_open()) error = asio::error::timed_out;
    if (!error) co_return Stream(std::move(socket));
  }
  const std::string where =
      endpoint.host.starts_with('/') ? unix_path(endpoint) : fmt::format("{}:{}", endpoint.host, endpoint.port);
  if (is_lack_of_ours(error))
    co_return fail(fmt::format("could not connect to {}: {}", where, error.message()), std::string(no_resources));
  co_return fail(fmt::format("could not connect to {}: {}", where, error.message()), "08001",
                 "Is the server running there, and does it accept connections?");
}

}  // namespace millrace::net
