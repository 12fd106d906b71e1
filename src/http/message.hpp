#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::http {

/// What the request line's target says: a path without trailing slash, and the query's names and values, all decoded.
struct Target {
  std::string path;
  std::vector<std::pair<std::string, std::string>> query;
};

struct Request {
  std::string method;
  std::string raw_target;  ///< as it was sent; for logs
  Target target;
  std::string content_type;
  std::string body;
  bool keep_alive = true;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string allow = {};  ///< the methods that the path has; only with 405
};

}  // namespace millrace::http
