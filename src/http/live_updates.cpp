#include "http/live_updates.hpp"

#include <algorithm>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "http/json_read.hpp"
#include "http/json_write.hpp"
#include "http/parameter_read.hpp"

namespace millrace::http {
namespace {

constexpr std::chrono::hours for_ever{24};

/// More of them without having read the answers: the oldest are forgotten.
constexpr std::size_t most_answers = 16;

std::string message(std::string_view type, std::uint64_t dropped, std::string_view data) {
  return fmt::format(R"({{"type":"{}","dropped":{},"data":{}}})", type, dropped, data);
}

}  // namespace

void LiveUpdates::publish(LiveTopic topic, std::string data) {
  const LiveClient::Message message{.topic = topic, .data = std::make_shared<const std::string>(std::move(data))};
  const std::scoped_lock lock(mutex_);
  for (LiveClient* const client : clients_) dropped_ += client->add(message);
}

std::size_t LiveUpdates::clients() const {
  const std::scoped_lock lock(mutex_);
  return clients_.size();
}

std::uint64_t LiveUpdates::dropped() const {
  const std::scoped_lock lock(mutex_);
  return dropped_;
}

std::shared_ptr<LiveClient> LiveClient::join(std::shared_ptr<LiveUpdates> updates) {
  std::shared_ptr<LiveClient> client(new LiveClient(std::move(updates)));
  const std::scoped_lock lock(client->updates_->mutex_);
  auto& clients = client->updates_->clients_;
  if (clients.size() >= LiveUpdates::most_clients) return nullptr;
  clients.push_back(client.get());
  return client;
}

LiveClient::~LiveClient() {
  const std::scoped_lock lock(updates_->mutex_);
  std::erase(updates_->clients_, this);
}

std::uint64_t LiveClient::add(const Message& message) {
  const std::scoped_lock lock(mutex_);
  if (std::ranges::find(wants_, message.topic) == wants_.end()) return 0;
  waiting_.push_back(message);
  waiting_bytes_ += message.data->size();
  std::uint64_t dropped = 0;
  while (waiting_.size() > LiveUpdates::most_waiting || waiting_bytes_ > LiveUpdates::most_waiting_bytes) {
    waiting_bytes_ -= waiting_.front().data->size();
    waiting_.pop_front();
    ++dropped;
  }
  dropped_ += dropped;
  wake();
  return dropped;
}

std::optional<std::string> LiveClient::next() {
  const std::scoped_lock lock(mutex_);
  if (!answers_.empty()) {
    std::string text = std::move(answers_.front());
    answers_.pop_front();
    return text;
  }
  if (waiting_.empty()) return std::nullopt;
  const Message first = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_bytes_ -= first.data->size();
  return message(boost::describe::enum_to_string(first.topic, ""), std::exchange(dropped_, 0), *first.data);
}

/// To what it has said.
void LiveClient::answer(std::string_view text) {
  auto asked = read_body<LiveSubscription>(text);
  const std::scoped_lock lock(mutex_);
  if (answers_.size() >= most_answers) answers_.pop_front();
  if (asked) {
    answers_.push_back(message("subscribed", 0, to_json(*asked)));
    wants_ = std::move(asked->subscribe);
  } else {
    answers_.push_back(message("error", 0, unprocessable(asked.error()).body));
  }
}

/// On its thread, if it is served by now; the mutex is held.
void LiveClient::wake() {
  if (context_ == nullptr || waiting_.size() > 1) return;  // with more it is awake, or has been woken
  asio::post(*context_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->woken_->set();
  });
}

asio::awaitable<void> LiveClient::send_all(WebSocket& socket) {
  while (!over_) {
    const auto text = next();
    if (!text) {
      co_await woken_->wait(for_ever);
    } else if (!co_await socket.send_text(*text)) {
      break;
    }
  }
}

asio::awaitable<void> LiveClient::serve(std::shared_ptr<LiveClient> self, WebSocket& socket) {
  // Both parts end by themselves with the connection. The sender uses the socket: it must have ended first.
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  const auto executor = co_await asio::this_coro::executor;
  auto& context = static_cast<asio::io_context&>(asio::query(executor, asio::execution::context));
  self->woken_.emplace(context);
  net::Signal ended(context);
  bool has_ended = false;
  {
    const std::scoped_lock lock(self->mutex_);
    self->context_ = &context;
  }
  asio::co_spawn(executor, self->send_all(socket), [&](const std::exception_ptr&) {
    has_ended = true;
    ended.set();
  });
  while (const auto said = co_await socket.receive()) {
    self->answer(said->data);
    self->woken_->set();
  }
  self->over_ = true;
  self->woken_->set();
  while (!has_ended) co_await ended.wait(for_ever);
  const std::scoped_lock lock(self->mutex_);
  self->context_ = nullptr;
}

}  // namespace millrace::http
