#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "net/tls.hpp"

namespace millrace::net {

namespace asio = boost::asio;

using Bytes = std::span<const std::byte>;

/// A connected byte stream: TCP or a Unix socket, with TLS once it was asked for.
///
/// Not thread-safe: it belongs to the thread of its io_context; one read and one write may be under way at a time.
/// An operation on a closed or broken stream answers an error code; none throws.
class Stream {
 public:
  explicit Stream(asio::generic::stream_protocol::socket socket);
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  /// Who wants to know when there is something to read.
  class Reader {
   public:
    virtual void on_readable() = 0;

   protected:
    ~Reader() = default;
  };

  /// From now on `reader` is told, on `context`'s thread, when bytes have come, or the end. It is told once: it reads
  /// with `try_read` until `drained`. `read_some` must not be used any more. For streams with many small messages; see
  /// Poller.
  void notify(asio::io_context& context, Reader& reader);
  /// Ends that, so that the stream can go to another thread and `notify` be called there.
  void stop_notifying();
  /// After a `try_read` of `got` of `asked` bytes: nothing more is there, and what comes will be told.
  bool drained(std::size_t got, std::size_t asked) const;

  /// Waits for some bytes. Zero with no error never happens: the end of the stream is `asio::error::eof`.
  asio::awaitable<std::size_t> read_some(std::span<std::byte> into, boost::system::error_code& error);

  /// What can be had without waiting; 0 when nothing is there now.
  std::size_t try_read(std::span<std::byte> into, boost::system::error_code& error);

  /// Writes what the kernel takes without waiting; the answer may be less than was given.
  std::size_t try_write(Bytes bytes, boost::system::error_code& error);

  /// Writes all of it, waiting as long as the peer takes. `bytes` must live until it is done.
  asio::awaitable<void> write_all(Bytes bytes, boost::system::error_code& error);

  /// TLS handshakes; the stream is plain before and encrypted after.
  asio::awaitable<Result<>> start_tls_server(std::shared_ptr<const TlsContext> context);
  asio::awaitable<Result<>> start_tls_client(std::shared_ptr<const TlsContext> context, std::string server_name);
  bool encrypted() const;

  /// RFC 5929 tls-server-end-point: the hash of the server's certificate, for SCRAM-SHA-256-PLUS. Empty without TLS.
  std::vector<std::byte> tls_server_end_point() const;

  /// Tells the peer that nothing more comes; what the peer still sends can be read.
  void finish_sending();

  /// Ends both directions at once; pending operations end with an error. May be called twice.
  void close();
  bool is_open() const;

  /// Aborts a pending `read_some`, and leaves the stream open.
  void cancel();

  /// "127.0.0.1:5432", "[::1]:5432" or "unix"; for logs and pg_stat views.
  std::string peer() const;

  int native_handle() const;

 private:
  class Tls;
  class Watch;
  asio::awaitable<void> wait_writable(boost::system::error_code& error);
  asio::awaitable<Result<>> handshake(std::unique_ptr<Tls> tls);

  mutable asio::generic::stream_protocol::socket socket_;  ///< until `notify`
  std::unique_ptr<Watch> watch_;                           ///< from then on
  std::unique_ptr<Tls> tls_;
};

/// Where to connect: a host name or address with a port, or a Unix socket's path.
struct Endpoint {
  std::string host;  ///< a directory that begins with '/' means the Unix socket `host/.s.PGSQL.port`
  std::uint16_t port = 0;

  bool operator==(const Endpoint&) const = default;
};

/// Of an error of `connect`: Millrace itself lacks descriptors, memory or ports.
inline constexpr std::string_view no_resources = "53000";
/// Likewise: the name of the host could not be resolved, which says nothing of the host.
inline constexpr std::string_view not_resolved = "08000";

/// Resolves (off the I/O thread) and connects within `timeout`; TCP_NODELAY and keep-alive are set. All addresses of a
/// name are tried in turn, each for its share of the time that is left. Runs on, and the stream belongs to, the
/// caller's io_context.
asio::awaitable<Result<Stream>> connect(asio::io_context& context, Endpoint endpoint,
                                        std::chrono::milliseconds timeout);

}  // namespace millrace::net
