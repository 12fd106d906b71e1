#include "net/listener.hpp"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>

#include "base/log.hpp"

namespace millrace::net {
namespace {

using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;
using Acceptor = asio::basic_socket_acceptor<Protocol>;

constexpr auto pause_when_out_of_descriptors = std::chrono::milliseconds(100);

}  // namespace

struct Listener::State {
  std::vector<asio::io_context*> contexts;
  OnStream on_stream;
  Acceptor acceptor;
  std::string unix_path;
  std::uint16_t port = 0;
  bool stopped = false;

  State(std::vector<asio::io_context*> all, OnStream callback)
      : contexts(std::move(all)), on_stream(std::move(callback)), acceptor(*contexts.front()) {}

  static asio::awaitable<void> accept_loop(std::shared_ptr<State> self) {
    std::size_t next = 0;
    while (!self->stopped) {
      asio::io_context& context = *self->contexts[next++ % self->contexts.size()];
      error_code error;
      Protocol::socket socket(context);
      co_await self->acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (self->stopped) break;
      if (error) {
        if (error == asio::error::no_descriptors || error == boost::system::errc::too_many_files_open_in_system ||
            error == asio::error::no_memory || error == asio::error::no_buffer_space) {
          log::warn("cannot accept a connection", {{"reason", error.message()}});
          asio::steady_timer pause(*self->contexts.front(), pause_when_out_of_descriptors);
          co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        }
        continue;
      }
      asio::post(context, [self, &context, socket = std::move(socket)]() mutable {
        self->on_stream(context, Stream(std::move(socket)));
      });
    }
  }
};

Listener::Listener(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Listener>> Listener::open(std::vector<asio::io_context*> contexts, const Endpoint& endpoint,
                                                 OnStream on_stream) {
  auto state = std::make_shared<State>(std::move(contexts), std::move(on_stream));
  error_code error;
  Protocol::endpoint address;
  std::string where;
  if (endpoint.host.starts_with('/')) {
    state->unix_path = fmt::format("{}/.s.PGSQL.{}", endpoint.host, endpoint.port);
    where = state->unix_path;
    if (where.size() >= sizeof(sockaddr_un::sun_path)) return fail("the Unix socket's path is too long: " + where);
    address = asio::local::stream_protocol::endpoint(where);
    // A socket that was left behind answers nobody, and is in the way; a living one stays.
    Protocol::socket probe(*state->contexts.front());
    probe.connect(address, error);
    if (!error) return fail(fmt::format("could not listen on {}: it is in use", where));
    if (error == asio::error::connection_refused) ::unlink(where.c_str());
    error.clear();
  } else {
    where = fmt::format("{}:{}", endpoint.host, endpoint.port);
    auto ip = asio::ip::make_address(endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host, error);
    if (error)
      return fail(fmt::format("\"{}\" is not an address to listen on", endpoint.host), {},
                  "Use an IP address, such as 0.0.0.0 for all.");
    address = asio::ip::tcp::endpoint(ip, endpoint.port);
  }
  state->acceptor.open(address.protocol(), error);
  if (!error && state->unix_path.empty()) state->acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) state->acceptor.bind(address, error);
  if (!error) state->acceptor.listen(4096, error);
  if (error) {
    return fail(
        fmt::format("could not listen on {}: {}", where, error.message()), {},
        error == asio::error::address_in_use ? "Is another program, or another Millrace, using this port?" : "");
  }
  if (state->unix_path.empty()) {
    const auto local = state->acceptor.local_endpoint(error);
    asio::ip::tcp::endpoint tcp;
    tcp.resize(local.size());
    std::memcpy(tcp.data(), local.data(), local.size());
    state->port = tcp.port();
  } else {
    ::chmod(state->unix_path.c_str(), 0777);  // as PostgreSQL's unix_socket_permissions; the directory limits access
    state->port = endpoint.port;
  }
  asio::co_spawn(*state->contexts.front(), State::accept_loop(state), asio::detached);
  return std::unique_ptr<Listener>(new Listener(std::move(state)));
}

Listener::~Listener() { stop(); }

std::uint16_t Listener::port() const { return state_->port; }

void Listener::stop() {
  asio::post(*state_->contexts.front(), [state = state_] {
    if (state->stopped) return;
    state->stopped = true;
    error_code ignored;
    state->acceptor.close(ignored);
    if (!state->unix_path.empty()) ::unlink(state->unix_path.c_str());
  });
}

}  // namespace millrace::net
