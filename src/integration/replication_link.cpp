#include "integration/replication_link.hpp"

#include "pgwire/protocol/encode.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::integration {
namespace {

constexpr auto patience = std::chrono::seconds(30);

}  // namespace

pgoutput::Timestamp postgresql_now() {
  constexpr auto epoch = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now() - epoch).count();
}

ReplicationLink::ReplicationLink(std::shared_ptr<backend::ServerConnection> connection, Receiver receiver)
    : connection_(std::move(connection)),
      framing_({.on_started =
                    [this] {
                      copying_ = true;
                      started_.set();
                    },
                .on_data = std::move(receiver.on_data),
                .on_keep_alive = std::move(receiver.on_keep_alive)}),
      started_(connection_->context()) {}

boost::asio::awaitable<Result<>> ReplicationLink::start(std::string command) {
  const auto self = shared_from_this();
  connection_->attach(self);
  std::string out;
  pgwire::append_query(out, command);
  boost::system::error_code failed;
  half_sent_ = true;
  co_await connection_->write_all(pgwire::as_bytes(out), failed);
  half_sent_ = static_cast<bool>(failed);
  if (failed) end({.message = "the server closed the connection", .sqlstate = "08006"});
  if (!ended_ && !copying_ && !co_await started_.wait(patience)) {
    end({.message = "the server did not begin to send changes in time", .sqlstate = "08006"});
  }
  if (ended_) co_return std::unexpected(error_);
  co_return Result<>{};
}

std::size_t ReplicationLink::on_server_bytes(std::span<std::byte> bytes) {
  const auto self = shared_from_this();
  heard_at_ = Clock::now();
  if (ended_) return bytes.size();
  const auto fed = framing_.feed(bytes);
  if (!fed) end(fed.error());
  return ended_ || !fed ? bytes.size() : *fed;
}

void ReplicationLink::acknowledge(pgoutput::Lsn lsn, bool reply_requested) {
  if (ended_) return;
  std::string out;
  append_standby_status(out, lsn, postgresql_now(), reply_requested);
  boost::system::error_code failed;
  const auto written = connection_->try_write(pgwire::as_bytes(out), failed);
  if (failed || (written > 0 && written < out.size())) {
    half_sent_ = true;
    end({.message = "the server doesn't read what it is sent", .sqlstate = "08006"});
  }
}

void ReplicationLink::close() { end({.message = "closed", .sqlstate = "57P01"}); }

void ReplicationLink::on_server_gone() { end({.message = "the server closed the connection", .sqlstate = "08006"}); }

void ReplicationLink::end(Error error) {
  if (std::exchange(ended_, true)) return;
  error_ = std::move(error);
  connection_->close();
  started_.set();
  if (on_end_) on_end_();
}

}  // namespace millrace::integration
