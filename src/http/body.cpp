#include "http/body.hpp"

namespace millrace::http {

asio::awaitable<Result<std::string>> BodyReader::read_all() {
  std::string all;
  while (true) {
    Result<std::string> part = co_await read();
    if (!part) co_return std::unexpected(std::move(part).error());
    if (part->empty()) co_return all;
    all += *part;
  }
}

}  // namespace millrace::http
