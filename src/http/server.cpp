#include "http/server.hpp"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <unordered_map>
#include <unordered_set>

#include "base/log.hpp"
#include "http/connection.hpp"
#include "http/problem.hpp"
#include "http/response_writer.hpp"

namespace millrace::http {

struct Server::State : std::enable_shared_from_this<Server::State> {
  /// What lives on one io_context, touched on its thread only.
  struct Core {
    std::unordered_set<Connection*> connections;
  };

  /// One of those that are counted, until it ends in whatever way.
  class Place {
   public:
    explicit Place(State& state) : state_(state) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { state_.connections.fetch_sub(1); }

   private:
    State& state_;
  };

  /// A connection that `stop` finds.
  class Entry {
   public:
    Entry(Core& core, Connection& connection) : core_(core), connection_(connection) {
      core_.connections.insert(&connection_);
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry() { core_.connections.erase(&connection_); }

   private:
    Core& core_;
    Connection& connection_;
  };

  ServerOptions options;
  std::shared_ptr<const Router> router;
  std::unordered_map<asio::io_context*, Core> cores;
  std::atomic<std::size_t> connections{0};
  std::atomic<bool> stopped{false};

  void accept(asio::io_context& context, net::Stream stream) {
    if (stopped) return stream.close();
    if (connections.fetch_add(1) >= options.limits.connections) {
      connections.fetch_sub(1);
      return turn_away(std::move(stream));
    }
    asio::co_spawn(context, serve(shared_from_this(), &context, std::move(stream)), asio::detached);
  }

  void turn_away(net::Stream stream) const {
    log::warn("http connection turned away", {{"peer", stream.peer()}, {"limit", options.limits.connections}});
    if (!options.tls) {
      const std::string bytes = serialize(problem(503, "too many connections"), false, true);
      boost::system::error_code ignored;
      stream.try_write(std::as_bytes(std::span(bytes)), ignored);
    }
    stream.close();
  }

  static asio::awaitable<void> serve(std::shared_ptr<State> self, asio::io_context* context, net::Stream stream) {
    const Place place(*self);
    Connection connection(*context, std::move(stream), self->options, *self->router);
    const Entry entry(self->cores.at(context), connection);
    co_await connection.run();
  }
};

Server::Server(std::shared_ptr<State> state, std::unique_ptr<net::Listener> listener)
    : state_(std::move(state)), listener_(std::move(listener)) {}

Result<std::unique_ptr<Server>> Server::start(std::vector<asio::io_context*> contexts, ServerOptions options,
                                              std::shared_ptr<const Router> router) {
  auto state = std::make_shared<State>();
  state->options = std::move(options);
  state->router = std::move(router);
  for (asio::io_context* context : contexts) state->cores[context];
  auto listener = net::Listener::open(
      std::move(contexts), state->options.listen,
      [state](asio::io_context& context, net::Stream stream) { state->accept(context, std::move(stream)); });
  if (!listener) return std::unexpected(listener.error());
  return std::unique_ptr<Server>(new Server(std::move(state), std::move(*listener)));
}

Server::~Server() { stop(); }  // NOLINT(bugprone-exception-escape): throws only when memory is out

std::uint16_t Server::port() const { return listener_->port(); }

std::size_t Server::connections() const { return state_->connections; }

void Server::stop() {
  if (state_->stopped.exchange(true)) return;
  listener_->stop();
  for (auto& [context, core] : state_->cores) {
    asio::post(*context, [state = state_, &connections = core.connections] {
      for (Connection* connection : connections) connection->close_soon();
    });
  }
}

}  // namespace millrace::http
