// The one file that instantiates Beast.
#include "http/request_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "http/problem.hpp"
#include "http/target.hpp"

namespace millrace::http {
namespace {

namespace beast = boost::beast;
using Parser = beast::http::request_parser<beast::http::string_body>;
using beast::http::field;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

/// Why a request whose header has been read can't be served; nothing if it can.
std::optional<Response> objection(const Parser::value_type& header) {
  if (header.version() != 10 && header.version() != 11) {
    return problem(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
  if (header.version() == 11 && header.count(field::host) != 1) return problem(400, "one Host header is needed");
  // Anything but "chunked" alone would leave it open where the body ends.
  if (const auto coding = header.find(field::transfer_encoding);
      coding != header.end() && !beast::iequals(coding->value(), "chunked")) {
    return problem(501, "only the transfer encoding \"chunked\" is known");
  }
  if (const auto expect = header.find(field::expect);
      expect != header.end() && !beast::iequals(expect->value(), "100-continue")) {
    return problem(417, "only the expectation \"100-continue\" is known");
  }
  return std::nullopt;
}

Response from_error(const beast::error_code& error) {
  using beast::http::error;
  if (error == error::body_limit) return problem(413, "the request's body is too large");
  if (error == error::header_limit) return problem(431, "the request's header is too large");
  return problem(400, "the request is malformed: " + error.message());
}

}  // namespace

struct RequestParser::Impl {
  MessageLimits limits;
  std::optional<Parser> parser;
  State state = State::between;
  bool wants_continue = false;
  Target target;
  Response failure;

  void start_over() {
    parser.emplace();
    parser->header_limit(limits.header_bytes);
    parser->body_limit(limits.body_bytes);
    parser->eager(false);
    state = State::between;
    wants_continue = false;
  }

  void fail(Response response) {
    failure = std::move(response);
    state = State::failed;
  }

  void check_header() {
    state = State::body;
    parser->eager(true);
    const auto& header = parser->get();
    if (auto why = objection(header)) return fail(std::move(*why));
    auto parsed = parse_target(view(header.target()));
    if (!parsed) return fail(problem(400, "the request's target is malformed"));
    target = std::move(*parsed);
    wants_continue = header.version() == 11 && header.count(field::expect) != 0 && !parser->is_done();
  }
};

RequestParser::RequestParser(MessageLimits limits) : impl_(std::make_unique<Impl>()) {
  impl_->limits = limits;
  impl_->start_over();
}

RequestParser::~RequestParser() = default;

std::size_t RequestParser::feed(std::string_view bytes) {
  std::size_t used = 0;
  if (impl_->state == State::between) {
    // RFC 9112, 2.2: empty lines before a request are ignored.
    used = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  }
  while (used < bytes.size()) {
    if (impl_->state == State::between) impl_->state = State::header;
    beast::error_code error;
    const std::size_t taken =
        impl_->parser->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
    used += taken;
    if (error && error != beast::http::error::need_more) {
      impl_->fail(from_error(error));
      break;
    }
    if (impl_->state == State::header && impl_->parser->is_header_done()) {
      impl_->check_header();
      if (impl_->state == State::failed) break;
    }
    if (impl_->parser->is_done()) {
      impl_->state = State::complete;
      break;
    }
    if (error || taken == 0) break;
  }
  return used;
}

RequestParser::State RequestParser::state() const { return impl_->state; }

bool RequestParser::take_wants_continue() {
  return std::exchange(impl_->wants_continue, false) && impl_->state == State::body;
}

Request RequestParser::take() {
  auto message = impl_->parser->release();
  Request request{.method = std::string(view(message.method_string())),
                  .raw_target = std::string(view(message.target())),
                  .target = std::move(impl_->target),
                  .content_type = std::string(view(message[field::content_type])),
                  .body = std::move(message.body()),
                  .keep_alive = message.keep_alive()};
  impl_->start_over();
  return request;
}

Response RequestParser::failure() const { return impl_->failure; }

}  // namespace millrace::http
