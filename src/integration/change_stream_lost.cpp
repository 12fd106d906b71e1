// What holds of what was proved when the server, or only the connection to it, is lost.
#include "integration/change_stream.hpp"

namespace millrace::integration {

namespace asio = boost::asio;

void ChangeStream::lose() {
  asio::post(io_, [self = shared_from_this()] {
    if (self->stopped_ || self->server_may_be_another_ || !self->prober_) return;
    self->abandon(true);
    self->set_unavailable({.reason = "the server can't be reached", .lost = true});
  });
}

/// The prober ends at once: what another server says of its log is no proof of what this stream has told.
void ChangeStream::reconnect() {
  asio::post(io_, [self = shared_from_this()] {
    self->server_may_be_another_ = true;
    self->retry_ = self->pace_.first_retry;
    if (self->prober_) self->prober_->stop();
    if (self->connection_) self->connection_->close();
    self->thaw();
    self->wake_.set();
  });
}

/// In its own time, as the two may go on being different ones.
void ChangeStream::leave_another() {
  if (!prober_) return;
  abandon(false);
  parts_.on_another();
}

/// Whoever follows it finds its connection closed.
void ChangeStream::abandon(bool freezes) {
  stop_proving(freezes);
  if (connection_) connection_->close();
  wake_.set();
}

void ChangeStream::disconnect(bool freezes) {
  if (prober_) stop_proving(freezes);
  if (link_) {
    link_->on_end({});
    link_->close();
    link_.reset();
  }
  if (connection_) connection_->close();
  connection_.reset();
  new_.clear();
}

/// `freezes`: the server can't be asked. Until it can, nobody knows of anything later than what was told.
void ChangeStream::stop_proving(bool freezes) {
  prober_->stop();
  prober_.reset();
  looked_once_.set();
  const bool freezes_now = freezes && parts_.freshness->is_followed();
  parts_.freshness->freeze(freezes_now);
  parts_.freshness->follow(nullptr);
  if (freezes_now) thaw_later();
  if (!freezes_now) parts_.everything_may_have_changed();  // what was left to it to tell
}

asio::awaitable<void> ChangeStream::pause(TimePoint until) {
  const auto goes_on = [&] { return !stopped_ && !server_may_be_another_ && Clock::now() < until; };
  while (goes_on()) {
    const auto soon = Clock::now() + pace_.first_retry;
    co_await wake_.wait((parts_.freshness->is_frozen() ? std::min(until, soon) : until) - Clock::now());
    if (!goes_on() || !parts_.freshness->is_frozen()) continue;
    const auto answer = co_await parts_.query("SELECT 1");
    if (answer || !obstacle_of(answer.error()).lost) thaw();
  }
}

/// What is kept isn't as of a moment any more of which all is told.
void ChangeStream::thaw() {
  thaws_.cancel();
  if (!parts_.freshness->is_frozen()) return;
  parts_.everything_may_have_changed();
  parts_.freshness->freeze(false);
}

/// Where only Millrace itself can't ask, its clients can, and nobody would tell them what is old.
void ChangeStream::thaw_later() {
  thaws_.expires_after(pace_.frozen);
  thaws_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || !self->parts_.freshness->is_frozen()) return;
    if (self->parts_.out_of_reach()) return self->thaw_later();
    self->thaw();
  });
}

}  // namespace millrace::integration
