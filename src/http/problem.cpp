#include "http/problem.hpp"

#include "http/json_writer.hpp"

namespace millrace::http {

Response problem(int status, std::string_view detail, Headers headers) {
  JsonWriter json;
  json.begin_object();
  json.key("detail");
  json.string(detail);
  json.end_object();
  return Response{.status = status, .body = json.take(), .headers = std::move(headers)};
}

Response unauthorized(std::string_view detail, std::string challenge) {
  return problem(401, detail, {{"WWW-Authenticate", std::move(challenge)}});
}

Response unprocessable(const std::vector<ValidationProblem>& problems) {
  JsonWriter json;
  json.begin_object();
  json.key("detail");
  json.begin_array();
  for (const ValidationProblem& each : problems) {
    json.begin_object();
    json.key("loc");
    json.begin_array();
    for (const auto& step : each.loc) {
      if (const auto* index = std::get_if<std::size_t>(&step)) {
        json.integer(std::uint64_t{*index});
      } else {
        json.string(std::get<std::string>(step));
      }
    }
    json.end_array();
    json.key("msg");
    json.string(each.msg);
    json.key("type");
    json.string(each.type);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return Response{.status = 422, .body = json.take()};
}

}  // namespace millrace::http
