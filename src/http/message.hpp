#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// What the request line's target says, all decoded. "/a/b%2Fc/" has the segments "a" and "b/c".
struct Target {
  std::vector<std::string> segments;
  std::vector<std::pair<std::string, std::string>> query;  ///< names and values
};

struct Request {
  std::string method;
  std::string raw_target;  ///< as it was sent; for logs
  Target target;
  std::vector<std::string> path_parameters = {};  ///< what stands for the path's parameters, in order; by the router
  std::string content_type = {};
  std::string body = {};
  bool keep_alive = true;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";  ///< left out where there is no body
  std::string body = {};
  Headers headers = {};  ///< beside those that each response has; control characters in them are sent as spaces
};

}  // namespace millrace::http
