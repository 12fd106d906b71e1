// The one file that instantiates Beast's HTTP.
#include "http/request_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>

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
  // RFC 9110, 11.6.2: it is one. Who else reads the request might take another of them than we do.
  if (header.count(field::authorization) > 1) return problem(400, "more than one Authorization header");
  // RFC 9112, 6.1: HTTP/1.0 has no transfer codings, so who handed this on may have seen another end of it.
  if (header.version() == 10 && header.count(field::transfer_encoding) != 0) {
    return problem(400, "HTTP/1.0 has no Transfer-Encoding");
  }
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
  bool first_chunk = true;
  std::uint64_t chunk_left = 0;  ///< of the chunk's data; 0: a chunk's header comes next

  void start_over() {
    parser.emplace();
    parser->header_limit(header_bytes);
    parser->body_limit(boost::none);
    parser->eager(false);
    state = State::between;
    first_chunk = true;
    chunk_left = 0;
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

  /// How many of these bytes Beast shall have; none if more must come, or if it failed.
  std::size_t portion(std::string_view bytes) {
    if (state != State::body || !parser->chunked()) return bytes.size();
    return chunk_left > 0 ? std::min<std::uint64_t>(chunk_left, bytes.size()) : chunk_header(bytes);
  }

  /// The length of a chunk's header, the end of the data before it included, and with the last chunk the trailer; 0 as
  /// long as it isn't whole. Beast fails an assertion on some last chunks that come in pieces, and has no limit to
  /// extensions or trailers: here it is the header's, however the bytes are cut.
  std::size_t chunk_header(std::string_view bytes) {
    constexpr std::string_view line_end = "\r\n";
    constexpr std::string_view end = "\r\n\r\n";
    const std::size_t start = first_chunk ? 0 : line_end.size();
    const std::size_t before = std::min(start, bytes.size());
    if (bytes.substr(0, before) != line_end.substr(0, before)) {
      fail(from_error(beast::http::error::bad_chunk));
      return 0;
    }
    const auto whole = [&](std::size_t at, std::string_view what) -> std::size_t {
      // Of an end that hasn't come whole all but one byte may be there.
      const std::size_t least =
          at != std::string_view::npos ? at : std::max(bytes.size(), what.size()) - what.size() + 1;
      if (least > start + header_bytes) fail(from_error(beast::http::error::header_limit));
      return state == State::failed || at == std::string_view::npos ? 0 : at + what.size();
    };
    const std::size_t line = bytes.find(line_end, start);
    std::size_t length = whole(line, line_end);
    if (length == 0) return 0;
    const char* digits = bytes.data() + start;
    std::uint64_t size = 0;
    const auto [digits_end, wrong] = std::from_chars(digits, bytes.data() + line, size, 16);
    if (wrong != std::errc()) {
      fail(from_error(beast::http::error::bad_chunk));
      return 0;
    }
    if (size == 0) length = whole(bytes.find(end, line), end);
    if (length == 0) return 0;
    chunk_left = size;
    first_chunk = false;
    return length;
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
    const bool in_chunk = impl_->chunk_left > 0;
    const std::size_t portion = impl_->portion(bytes.substr(used));
    if (portion == 0) break;
    beast::error_code error;
    const std::size_t taken = impl_->parser->put(boost::asio::const_buffer(bytes.data() + used, portion), error);
    used += taken;
    if (in_chunk) impl_->chunk_left -= taken;
    if (error && error != beast::http::error::need_more) {
      impl_->fail(from_error(error));
    } else if (impl_->state == State::header && impl_->parser->is_header_done()) {
      impl_->check_header();
    } else if (impl_->parser->is_done()) {
      impl_->state = State::complete;
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
