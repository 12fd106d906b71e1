#include "http/target.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

namespace millrace::http {
namespace {

namespace urls = boost::urls;

std::vector<std::string> decoded_segments(const urls::url_view& url) {
  std::vector<std::string> segments;
  for (std::string segment : url.segments()) segments.push_back(std::move(segment));
  while (!segments.empty() && segments.back().empty()) segments.pop_back();
  return segments;
}

}  // namespace

std::optional<Target> parse_target(std::string_view text) {
  auto url = urls::parse_origin_form(text);
  if (url.has_error()) url = urls::parse_absolute_uri(text);
  if (url.has_error()) return std::nullopt;
  Target target{.segments = decoded_segments(*url), .query = {}};
  for (const auto& parameter : url->params()) {
    target.query.emplace_back(std::string(parameter.key), std::string(parameter.value));
  }
  return target;
}

}  // namespace millrace::http
