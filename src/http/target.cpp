#include "http/target.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

namespace millrace::http {
namespace {

namespace urls = boost::urls;

void append_segment(std::string& path, std::string_view segment) {
  path += '/';
  for (const char c : segment) {
    if (c == '/') {
      path += "%2F";
    } else {
      path += c;
    }
  }
}

std::string decoded_path(const urls::url_view& url) {
  std::string path;
  for (const std::string& segment : url.segments()) append_segment(path, segment);
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (path.empty()) path = "/";
  return path;
}

}  // namespace

std::optional<Target> parse_target(std::string_view text) {
  auto url = urls::parse_origin_form(text);
  if (url.has_error()) url = urls::parse_absolute_uri(text);
  if (url.has_error()) return std::nullopt;
  Target target{.path = decoded_path(*url), .query = {}};
  for (const auto& parameter : url->params()) {
    target.query.emplace_back(std::string(parameter.key), std::string(parameter.value));
  }
  return target;
}

}  // namespace millrace::http
