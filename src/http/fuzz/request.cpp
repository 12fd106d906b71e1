// Any bytes, in pieces of any size: the parser, the router and the checks of input end without a crash, and answer the
// same requests however the bytes are cut. (Where a malformed one is noticed may differ.)
#include <boost/asio/co_spawn.hpp>
#include <cstdlib>

#include "http/fuzz/sample.hpp"
#include "http/fuzz/subjects.hpp"
#include "http/request_parser.hpp"
#include "http/response_writer.hpp"

namespace millrace::http {
namespace {

std::string answers(std::string_view bytes, std::size_t piece) {
  static const std::shared_ptr<const Router> router = sample::routes();
  asio::io_context context;
  RequestParser parser({.header_bytes = 2048, .body_bytes = 4096});
  std::string all;
  std::string received;
  while (!bytes.empty()) {
    received += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (true) {
      const std::size_t used = parser.feed(received);
      if (used > received.size()) std::abort();
      received.erase(0, used);
      if (parser.state() == RequestParser::State::failed) return all;
      if (parser.state() != RequestParser::State::complete) break;
      Request request = parser.take();
      const std::string method = request.method;
      asio::co_spawn(context, router->answer(std::move(request)), [&](std::exception_ptr, Response response) {
        if (response.status >= 500) std::abort();
        all += fmt::format("{} {} {}\n", method, response.status, response.body);
      });
      context.run();
      context.restart();
    }
  }
  return all;
}

}  // namespace

void fuzz::request(std::string_view input) {
  if (input.size() < 2) return;
  const std::string_view bytes = input.substr(1);
  const std::size_t piece = std::size_t{static_cast<unsigned char>(input[0])} + 1;
  if (answers(bytes, piece) != answers(bytes, bytes.size())) std::abort();
}

}  // namespace millrace::http
