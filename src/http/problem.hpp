#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "http/message.hpp"

namespace millrace::http {

/// Where in a request a value stands: "body", "filters", 2, "name".
using Location = std::vector<std::variant<std::string, std::size_t>>;

/// One value that isn't as it must be. `type` is for programs, by the names that FastAPI's own validation uses.
struct ValidationProblem {
  Location loc;
  std::string msg;
  std::string type;
};

/// `{"detail": "..."}`, the shape of FastAPI's errors.
Response problem(int status, std::string_view detail, Headers headers = {});

/// 401: who asks must say who he is, in the way that `challenge` names (RFC 9110, 11.6.1): "Bearer".
Response unauthorized(std::string_view detail, std::string challenge);

/// 422 with `{"detail": [{"loc": [...], "msg": "...", "type": "..."}]}`.
Response unprocessable(const std::vector<ValidationProblem>& problems);

}  // namespace millrace::http
