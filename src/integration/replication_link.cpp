#include "integration/replication_link.hpp"

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::integration {
namespace {

constexpr auto patience = std::chrono::seconds(30);

}  // namespace

pgoutput::Timestamp postgresql_now() {
  constexpr auto epoch = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now() - epoch).count();
}

ReplicationLink::ReplicationLink(std::shared_ptr<backend::ServerConnection> connection, Receiver receiver)
    : connection_(std::move(connection)), receiver_(std::move(receiver)), started_(connection_->context()) {}

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
  std::size_t at = std::min(skip_, bytes.size());
  skip_ -= at;
  while (!ended_ && bytes.size() - at >= pgwire::header_size) {
    const auto header = pgwire::load_header(bytes.subspan(at));
    const bool whole = header.total() <= longest_message;
    if (!header.valid() || (!whole && header.type != pgwire::backend::copy_data)) {
      end({.message = "the server sent a malformed replication message", .sqlstate = "08P01"});
      break;
    }
    const std::size_t needed = whole ? header.total() : pgwire::header_size + length_of_beginning;
    if (bytes.size() - at < needed) break;
    on_message(header.type, bytes.subspan(at + pgwire::header_size, needed - pgwire::header_size), whole);
    const std::size_t there = std::min(header.total(), bytes.size() - at);
    skip_ = header.total() - there;
    at += there;
  }
  return ended_ ? bytes.size() : at;
}

void ReplicationLink::on_message(char type, pgwire::Bytes body, bool whole) {
  switch (type) {
    case pgwire::backend::copy_both_response:
      copying_ = true;
      started_.set();
      break;
    case pgwire::backend::copy_data:
      on_copy_data(body, whole);
      break;
    case pgwire::backend::error_response: {
      const auto notice = pgwire::decode_notice(body);
      end(notice ? Error{.message = std::string(notice->message()), .sqlstate = std::string(notice->sqlstate())}
                 : notice.error());
      break;
    }
    case pgwire::backend::notice_response:
    case pgwire::backend::parameter_status:
      break;
    default:  // CopyDone, CommandComplete: the server shuts down
      end({.message = "the server ended the change stream", .sqlstate = "08006"});
      break;
  }
}

void ReplicationLink::on_copy_data(pgwire::Bytes body, bool whole) {
  const auto decoded = decode_copy_data(body);
  if (!decoded) return end(decoded.error());
  if (const auto* alive = std::get_if<KeepAlive>(&*decoded)) {
    if (!whole) return end({.message = "the server sent a malformed replication message", .sqlstate = "08P01"});
    return receiver_.on_keep_alive(*alive);
  }
  if (auto taken = receiver_.on_data(std::get<XLogData>(*decoded), whole); !taken) end(std::move(taken).error());
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
