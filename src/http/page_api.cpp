#include "http/page_api.hpp"

#include "page/page_files.hpp"

namespace millrace::http {
namespace {

/// Nothing of elsewhere, nothing inline, and no page that has it in a frame. Texts of statements are anybody's.
constexpr std::string_view policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

/// Whether a list of content codings (RFC 9110, 12.5.3) has gzip in it, and not to say that it isn't wanted.
bool takes_gzip(std::string_view accepted) {
  const std::size_t at = accepted.find("gzip");
  if (at == std::string_view::npos) return false;
  std::string_view weight = accepted.substr(at + 4);
  weight = weight.substr(0, weight.find(','));
  const std::size_t q = weight.find("q=");
  return q == std::string_view::npos || weight.find_first_of("123456789", q) != std::string_view::npos;
}

/// By the weak comparison (RFC 9110, 13.1.2); the list may have several.
bool has_it_already(std::string_view if_none_match, std::string_view etag) {
  return if_none_match == "*" || if_none_match.find(etag) != std::string_view::npos;
}

Response answer(const page::File& file, const Request& request) {
  Response response{.content_type = std::string(file.media_type),
                    .headers = {{"ETag", std::string(file.etag)},
                                {"Cache-Control", file.immutable ? "public, max-age=31536000, immutable" : "no-cache"},
                                {"Vary", "Accept-Encoding"},
                                {"X-Content-Type-Options", "nosniff"},
                                {"Referrer-Policy", "no-referrer"},
                                {"Content-Security-Policy", std::string(policy)}}};
  if (has_it_already(request.header("if-none-match"), file.etag)) {
    response.status = 304;
  } else if (takes_gzip(request.header("accept-encoding"))) {
    response.body = file.gzipped;
    response.headers.emplace_back("Content-Encoding", "gzip");
  } else {
    response.body = file.content;
  }
  return response;
}

asio::awaitable<Response> ready(Response response) { co_return response; }

}  // namespace

void add_page(Router& router) {
  for (const page::File& file : page::files()) {
    router.add("GET", file.path,
               {.handler = [&file](const Request& request, BodyReader&) { return ready(answer(file, request)); },
                .open = true});
  }
}

}  // namespace millrace::http
