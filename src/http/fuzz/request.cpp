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

std::string answer(Request head, std::string body) {
  static const std::shared_ptr<const Router> router = sample::routes();
  asio::io_context context;
  std::string line = head.method;
  sample::Text text(std::move(body));
  asio::co_spawn(context, router->answer(std::move(head), text), [&](std::exception_ptr, Response response) {
    if (response.status >= 500) std::abort();
    const std::string bytes = serialize(response, true, false);
    if (bytes.find("\r\n\r\n") + 4 != bytes.size()) std::abort();
    line += fmt::format(" {} {}\n", response.status, response.body);
  });
  context.run();
  return line;
}

std::string answers(std::string_view bytes, std::size_t piece) {
  RequestParser parser(2048);
  std::string all;
  std::string received;
  Request head;
  std::string body;
  while (!bytes.empty()) {
    received += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (bool more = true; more;) {
      const std::size_t used = parser.feed(received);
      if (used > received.size()) std::abort();
      received.erase(0, used);
      more = used > 0;
      switch (parser.state()) {
        case RequestParser::State::failed:
          return all;
        case RequestParser::State::head:
          head = parser.take_head();
          parser.limit_body(4096);
          body.clear();
          more = true;
          break;
        case RequestParser::State::body:
          body += parser.take_body();
          break;
        case RequestParser::State::complete:
          body += parser.take_body();
          if (body.size() > 4096) std::abort();
          all += answer(std::exchange(head, {}), std::exchange(body, {}));
          parser.next();
          more = true;
          break;
        default:
          break;
      }
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
