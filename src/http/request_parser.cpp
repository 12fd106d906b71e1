// The one file that instantiates Beast's HTTP.
#include "http/request_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>

#include "http/problem.hpp"
#include "http/target.hpp"

namespace millrace::http {
namespace {

namespace beast = boost::beast;
using beast::http::field;

/// What Beast does with a body: it is added to a string, from which it is taken.
struct Parts {
  using value_type = std::string;

  class reader {  // NOLINT(readability-identifier-naming): Beast's name
   public:
    template <bool is_request, typename Fields>
    reader(beast::http::header<is_request, Fields>&, std::string& parts) : parts_(parts) {}

    void init(const boost::optional<std::uint64_t>&, beast::error_code& error) { error = {}; }

    template <typename Buffers>
    std::size_t put(const Buffers& buffers, beast::error_code& error) {
      error = {};
      const std::size_t before = parts_.size();
      for (const boost::asio::const_buffer buffer : beast::buffers_range_ref(buffers)) {
        parts_.append(static_cast<const char*>(buffer.data()), buffer.size());
      }
      return parts_.size() - before;
    }

    void finish(beast::error_code& error) { error = {}; }

   private:
    std::string& parts_;
  };
};

using Parser = beast::http::request_parser<Parts>;

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
  explicit Impl(std::uint32_t bytes) : header_bytes(bytes) { start_over(); }

  std::uint32_t header_bytes;
  std::optional<Parser> parser = {};
  State state = State::between;
  Target target = {};
  Response failure = {};

  void start_over() {
    parser.emplace();
    parser->header_limit(header_bytes);
    parser->body_limit(boost::none);
    parser->eager(false);
    state = State::between;
  }

  void fail(Response response) {
    failure = std::move(response);
    state = State::failed;
  }

  void check_header() {
    state = State::head;
    const auto& header = parser->get();
    if (auto why = objection(header)) return fail(std::move(*why));
    auto parsed = parse_target(view(header.target()));
    if (!parsed) return fail(problem(400, "the request's target is malformed"));
    target = std::move(*parsed);
  }

  bool wants_more() const { return state == State::between || state == State::header || state == State::body; }
};

RequestParser::RequestParser(std::uint32_t header_bytes) : impl_(std::make_unique<Impl>(header_bytes)) {}

RequestParser::~RequestParser() = default;

std::size_t RequestParser::feed(std::string_view bytes) {
  std::size_t used = 0;
  if (impl_->state == State::between) {
    // RFC 9112, 2.2: empty lines before a request are ignored.
    used = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  }
  while (used < bytes.size() && impl_->wants_more()) {
    if (impl_->state == State::between) impl_->state = State::header;
    beast::error_code error;
    const std::size_t taken =
        impl_->parser->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
    used += taken;
    if (error && error != beast::http::error::need_more) {
      impl_->fail(from_error(error));
    } else if (impl_->state == State::header && impl_->parser->is_header_done()) {
      impl_->check_header();
    } else if (impl_->parser->is_done()) {
      impl_->state = State::complete;
    } else if (impl_->state == State::body && bytes.size() - used > impl_->header_bytes && taken == 0) {
      // Beast has no limit to a chunk's extensions, nor to a trailer.
      impl_->fail(from_error(beast::http::error::header_limit));
    } else if (error || taken == 0) {
      break;
    }
  }
  return used;
}

RequestParser::State RequestParser::state() const { return impl_->state; }

Request RequestParser::take_head() {
  Parser& parser = *impl_->parser;
  const auto& header = parser.get();
  Request request{.method = std::string(view(header.method_string())),
                  .raw_target = std::string(view(header.target())),
                  .target = std::move(impl_->target),
                  .http_1_0 = header.version() == 10,
                  .keep_alive = header.keep_alive()};
  for (const auto& each : header) {
    std::string name(view(each.name_string()));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request.headers.emplace_back(std::move(name), view(each.value()));
  }
  request.expects_continue = !request.http_1_0 && header.count(field::expect) != 0 && !parser.is_done();
  parser.eager(true);
  impl_->state = parser.is_done() ? State::complete : State::body;
  return request;
}

void RequestParser::limit_body(std::uint64_t bytes) {
  if (impl_->state != State::body) return;
  if (impl_->parser->content_length().value_or(0) > bytes) {
    impl_->fail(from_error(beast::http::error::body_limit));
  } else {
    impl_->parser->body_limit(bytes);
  }
}

std::string RequestParser::take_body() { return std::exchange(impl_->parser->get().body(), {}); }

std::optional<std::uint64_t> RequestParser::body_left() const {
  if (impl_->state == State::complete) return 0;
  const auto left = impl_->parser->content_length_remaining();
  return left ? std::optional(*left) : std::nullopt;
}

void RequestParser::next() { impl_->start_over(); }

const Response& RequestParser::failure() const { return impl_->failure; }

}  // namespace millrace::http
