#include "http/response_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace millrace::http {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

/// Now, as RFC 9110 (5.6.7) writes it: "Sun, 06 Nov 1994 08:49:37 GMT", whatever the locale.
std::string http_date() {
  constexpr std::array days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", days[static_cast<std::size_t>(utc.tm_wday)],
                     utc.tm_mday, months[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

/// A header's value ends at a line's end: one that holds a line's end would begin another header.
std::string in_one_line(std::string value) {
  for (char& c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return value;
}

}  // namespace

bool may_have_body(const Response& response) { return response.status != 204 && response.status != 304; }

std::string serialize(const Response& response, bool keep_alive, bool with_body, bool http_1_0) {
  std::string bytes = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nConnection: {}\r\n", response.status,
                                  reason(response.status), http_date(), keep_alive ? "keep-alive" : "close");
  const bool says_how_to_keep =
      std::ranges::any_of(response.headers, [](const auto& header) { return header.first == "Cache-Control"; });
  if (!says_how_to_keep) bytes += "Cache-Control: no-store\r\n";
  const bool body_allowed = may_have_body(response);
  if (body_allowed && (response.stream || !response.body.empty())) {
    bytes += fmt::format("Content-Type: {}\r\n", in_one_line(response.content_type));
  }
  if (!body_allowed) {
  } else if (!response.stream) {
    bytes += fmt::format("Content-Length: {}\r\n", response.body.size());
  } else if (!http_1_0) {
    bytes += "Transfer-Encoding: chunked\r\n";
  }
  for (const auto& [name, value] : response.headers) bytes += fmt::format("{}: {}\r\n", name, in_one_line(value));
  bytes += "\r\n";
  if (with_body && body_allowed && !response.stream) bytes += response.body;
  return bytes;
}

}  // namespace millrace::http
