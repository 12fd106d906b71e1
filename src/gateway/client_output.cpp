#include "gateway/client_output.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace millrace::gateway {

namespace asio = boost::asio;
using boost::system::error_code;

ClientOutput::ClientOutput(asio::io_context& io, net::Stream& stream)
    : stream_(stream), flushed_(io, asio::steady_timer::time_point::max()) {}

bool ClientOutput::send(net::Bytes bytes) {
  std::size_t sent = 0;
  if (kept_.empty() && !flushing_) {
    error_code error;
    sent = stream_.try_write(bytes, error);
    if (error) return false;
  }
  kept_.append(reinterpret_cast<const char*>(bytes.data()) + sent, bytes.size() - sent);
  return true;
}

asio::awaitable<bool> ClientOutput::flush() {
  error_code error;
  while (!kept_.empty() && !error) {
    const std::string out = std::exchange(kept_, {});
    co_await stream_.write_all(std::as_bytes(std::span(out)), error);
  }
  kept_.clear();
  flushing_ = false;
  flushed_.cancel();
  co_return !error;
}

asio::awaitable<void> ClientOutput::drained() {
  while (flushing_) {
    error_code woken;
    co_await flushed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
}

}  // namespace millrace::gateway
