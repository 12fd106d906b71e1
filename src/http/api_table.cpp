#include "http/api_table.hpp"

#include <boost/json/serialize.hpp>

namespace millrace::http {
namespace {

namespace json = boost::json;

json::object content(std::string_view type, json::object schema) {
  return {{std::string(type), json::object{{"schema", std::move(schema)}}}};
}

json::object validation_error_schema() {
  json::object step{{"anyOf", json::array{json::object{{"type", "string"}}, json::object{{"type", "integer"}}}}};
  return {{"title", "ValidationError"},
          {"type", "object"},
          {"properties", json::object{{"loc", json::object{{"type", "array"}, {"items", std::move(step)}}},
                                      {"msg", json::object{{"type", "string"}}},
                                      {"type", json::object{{"type", "string"}}}}},
          {"required", json::array{"loc", "msg", "type"}}};
}

json::object http_validation_error_schema() {
  json::object item{{"$ref", "#/components/schemas/ValidationError"}};
  return {{"title", "HTTPValidationError"},
          {"type", "object"},
          {"properties", json::object{{"detail", json::object{{"type", "array"}, {"items", std::move(item)}}}}},
          {"required", json::array{"detail"}}};
}

/// A name for generated clients: "GET /api/v1/x-y" is "get_api_v1_x_y".
std::string operation_id(std::string_view method, std::string_view path) {
  std::string id;
  for (const char c : method) id += static_cast<char>(c - 'A' + 'a');
  for (const char c : path) id += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return id;
}

}  // namespace

bool is_json(std::string_view content_type) {
  std::string type;
  for (const char c : content_type.substr(0, content_type.find(';'))) {
    if (c != ' ' && c != '\t') type += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return type == "application/json" || (type.starts_with("application/") && type.ends_with("+json"));
}

void ApiTable::get_text(About about, std::string content_type, std::function<std::string()> answer) {
  operations_.push_back({.method = "GET",
                         .about = std::move(about),
                         .parameters = {},
                         .body = {},
                         .answer = {{"type", "string"}},
                         .answer_type = content_type.substr(0, content_type.find(';')),
                         .handler = [type = std::move(content_type), answer = std::move(answer)](const Request&) {
                           return ready({.content_type = type, .body = answer()});
                         }});
}

json::object ApiTable::describe(const Operation& operation) const {
  json::object described{{"summary", operation.about.summary},
                         {"operationId", operation_id(operation.method, operation.about.path)}};
  if (!operation.about.description.empty()) described["description"] = operation.about.description;
  if (!operation.parameters.empty()) described["parameters"] = operation.parameters;
  if (!operation.body.empty()) {
    described["requestBody"] =
        json::object{{"required", true}, {"content", content("application/json", operation.body)}};
  }
  json::object responses{{"200", json::object{{"description", "Successful response"},
                                              {"content", content(operation.answer_type, operation.answer)}}}};
  if (operation.has_input()) {
    json::object schema{{"$ref", "#/components/schemas/HTTPValidationError"}};
    responses["422"] = json::object{{"description", "The input is not as it must be"},
                                    {"content", content("application/json", std::move(schema))}};
  }
  described["responses"] = std::move(responses);
  return described;
}

std::string ApiTable::document(std::string_view title, std::string_view version) const {
  json::object paths;
  bool any_input = false;
  for (const Operation& operation : operations_) {
    json::value& path = paths[operation.about.path];
    if (path.is_null()) path.emplace_object();
    std::string method = operation.method == "GET" ? "get" : "post";
    path.as_object()[method] = describe(operation);
    any_input |= operation.has_input();
  }
  json::object components = schemas_.components();
  if (any_input) {
    components["ValidationError"] = validation_error_schema();
    components["HTTPValidationError"] = http_validation_error_schema();
  }
  return json::serialize(json::object{{"openapi", "3.1.0"},
                                      {"info", json::object{{"title", title}, {"version", version}}},
                                      {"paths", std::move(paths)},
                                      {"components", json::object{{"schemas", std::move(components)}}}});
}

std::shared_ptr<const Router> ApiTable::router(std::string_view title, std::string_view version) const {
  auto router = std::make_shared<Router>();
  for (const Operation& operation : operations_) {
    router->add(operation.method, operation.about.path, operation.handler);
    for (const std::string& path : operation.about.also_at) router->add(operation.method, path, operation.handler);
  }
  router->add("GET", "/openapi.json",
              [document = document(title, version)](const Request&) { return ready({.body = document}); });
  return router;
}

}  // namespace millrace::http
