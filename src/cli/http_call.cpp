#include "cli/http_call.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cctype>

namespace millrace::cli {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t largest_answer = 16 << 20;

std::string request_of(const HttpCall& call, const net::Endpoint& endpoint) {
  std::string request = fmt::format(
      "{} {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: millrace\r\nAccept: application/json\r\nConnection: close\r\n",
      call.method, call.path, endpoint.host, endpoint.port);
  if (!call.api_key.empty()) request += "X-API-Key: " + call.api_key + "\r\n";
  if (!call.body.empty())
    request += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", call.body.size());
  return request + "\r\n" + call.body;
}

asio::awaitable<Result<HttpAnswer>> exchange(asio::io_context* context, net::Endpoint endpoint, HttpCall call, bool tls,
                                             std::chrono::milliseconds timeout) {
  auto stream = co_await net::connect(*context, endpoint, timeout);
  if (!stream) co_return std::unexpected(stream.error());
  if (tls) {
    const auto trust_all = net::TlsContext::client(net::TlsContext::Verify::none, "");
    if (!trust_all) co_return std::unexpected(trust_all.error());
    const auto done = co_await stream->start_tls_client(*trust_all, endpoint.host);
    if (!done) co_return std::unexpected(done.error());
  }

  const std::string request = request_of(call, endpoint);
  error_code error;
  co_await stream->write_all(std::as_bytes(std::span(request)), error);
  if (error) co_return fail("the connection broke: " + error.message());

  http::response_parser<http::string_body> parser;
  parser.body_limit(largest_answer);
  parser.eager(true);
  std::array<std::byte, 16384> buffer{};
  std::size_t kept = 0;  // what the parser could not use yet
  while (!parser.is_done()) {
    const std::size_t read = co_await stream->read_some(std::span(buffer).subspan(kept), error);
    if (error == asio::error::eof) {
      parser.put_eof(error);
      if (error) co_return fail("the answer ended early");
      break;
    }
    if (error) co_return fail("the connection broke: " + error.message());
    const std::size_t size = kept + read;
    const std::size_t used = parser.put(asio::buffer(buffer.data(), size), error);
    kept = size - used;
    if ((error && error != http::error::need_more) || kept == buffer.size()) {
      co_return fail("the answer is not HTTP as Millrace speaks it");
    }
    std::memmove(buffer.data(), buffer.data() + used, kept);
  }
  co_return HttpAnswer{.status = parser.get().result_int(), .body = std::move(parser.get().body())};
}

}  // namespace

std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '_' || c == '-') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

Result<HttpAnswer> http_call(const net::Endpoint& endpoint, const HttpCall& call, bool tls,
                             std::chrono::milliseconds timeout) {
  if (call.api_key.find_first_of("\r\n") != std::string::npos) return fail("the API key holds a line break");
  std::optional<Result<HttpAnswer>> answer;
  asio::io_context context{1};
  asio::co_spawn(context, exchange(&context, endpoint, call, tls, timeout),
                 [&](const std::exception_ptr&, Result<HttpAnswer> got) { answer = std::move(got); });
  context.run_for(timeout);
  if (!answer) return fail(fmt::format("no answer within {} ms", timeout.count()));
  return *std::move(answer);
}

}  // namespace millrace::cli
