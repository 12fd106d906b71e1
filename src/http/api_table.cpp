#include "http/api_table.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <stdexcept>

namespace millrace::http {
namespace {

namespace json = boost::json;

/// The names of the security schemes in the document.
constexpr std::string_view security_scheme = "authorization";
constexpr std::string_view key_scheme = "key";

json::object content(std::string_view type, json::object schema) {
  return {{std::string(type), json::object{{"schema", std::move(schema)}}}};
}

json::object reference(std::string_view component) {
  return {{"$ref", "#/components/schemas/" + std::string(component)}};
}

json::object problem_schema() {
  return {{"title", "Problem"},
          {"type", "object"},
          {"properties", json::object{{"detail", json::object{{"type", "string"}}}}},
          {"required", json::array{"detail"}}};
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
  return {{"title", "HTTPValidationError"},
          {"type", "object"},
          {"properties",
           json::object{{"detail", json::object{{"type", "array"}, {"items", reference("ValidationError")}}}}},
          {"required", json::array{"detail"}}};
}

std::string lower(std::string_view text) {
  std::string lowered;
  for (const char c : text) lowered += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lowered;
}

/// A name for generated clients: "GET /api/v1/x-y" is "get_api_v1_x_y".
std::string operation_id(std::string_view method, std::string_view path) {
  std::string id = lower(method);
  for (const char c : path) id += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return id;
}

}  // namespace

bool is_json(std::string_view content_type) {
  std::string type = lower(content_type.substr(0, content_type.find(';')));
  std::erase_if(type, [](char c) { return c == ' ' || c == '\t'; });
  return type == "application/json" || (type.starts_with("application/") && type.ends_with("+json"));
}

void ApiTable::add_operation(Operation operation) {
  const std::vector<std::string> names = parameter_names(operation.about.path);
  if (!std::ranges::is_permutation(names, operation.path_members)) {
    throw std::logic_error("the members of the Path aren't the parameters of " + operation.about.path);
  }
  for (const std::string& path : operation.about.also_at) {
    if (parameter_names(path) != names) throw std::logic_error("other parameters than the first path's: " + path);
  }
  operations_.push_back(std::move(operation));
}

void ApiTable::authenticate(std::string scheme, Authenticate authenticate, std::string key_header) {
  scheme_ = std::move(scheme);
  key_header_ = std::move(key_header);
  authenticate_ = std::move(authenticate);
}

void ApiTable::describe_input(std::type_identity<BodyReader&>, Operation& operation) {
  operation.body = {{"application/octet-stream", json::object{}}};
}

json::object ApiTable::describe(const Operation& operation) const {
  const About& about = operation.about;
  json::object described{{"summary", about.summary}, {"operationId", operation_id(operation.method, about.path)}};
  if (!about.description.empty()) described["description"] = about.description;
  if (!operation.parameters.empty()) described["parameters"] = operation.parameters;
  if (!operation.body.empty()) {
    described["requestBody"] = json::object{{"required", true}, {"content", operation.body}};
  }
  json::object success{{"description", "Successful response"}};
  if (!operation.answer.empty()) success["content"] = operation.answer;
  json::object responses{{std::to_string(about.status), std::move(success)}};
  std::map<int, std::string> problems = about.problems;
  if (is_guarded(about)) {
    problems.try_emplace(401, "Who asks hasn't said who he is");
    problems.try_emplace(403, "Who asks isn't allowed to");
    json::array schemes{json::object{{security_scheme, json::array{}}}};
    if (!key_header_.empty()) schemes.push_back(json::object{{key_scheme, json::array{}}});
    described["security"] = std::move(schemes);
  }
  for (const auto& [status, when] : problems) {
    responses[std::to_string(status)] =
        json::object{{"description", when}, {"content", content("application/json", reference("Problem"))}};
  }
  if (operation.has_input()) {
    responses["422"] = json::object{{"description", "The input is not as it must be"},
                                    {"content", content("application/json", reference("HTTPValidationError"))}};
  }
  described["responses"] = std::move(responses);
  return described;
}

std::string ApiTable::document(std::string_view title, std::string_view version) const {
  json::object paths;
  bool any_input = false;
  bool any_problem = false;
  for (const Operation& operation : operations_) {
    json::value& path = paths[operation.about.path];
    if (path.is_null()) path.emplace_object();
    path.as_object()[lower(operation.method)] = describe(operation);
    any_input |= operation.has_input();
    any_problem |= !operation.about.problems.empty() || is_guarded(operation.about);
  }
  json::object schemas = schemas_.components();
  if (any_problem) schemas["Problem"] = problem_schema();
  if (any_input) {
    schemas["ValidationError"] = validation_error_schema();
    schemas["HTTPValidationError"] = http_validation_error_schema();
  }
  json::object described{{"openapi", "3.1.0"},
                         {"info", json::object{{"title", title}, {"version", version}}},
                         {"paths", std::move(paths)},
                         {"components", json::object{{"schemas", std::move(schemas)}}}};
  if (authenticate_) {
    json::object schemes{{security_scheme, json::object{{"type", "http"}, {"scheme", scheme_}}}};
    if (!key_header_.empty()) {
      schemes[key_scheme] = json::object{{"type", "apiKey"}, {"in", "header"}, {"name", key_header_}};
    }
    described["components"].as_object()["securitySchemes"] = std::move(schemes);
  }
  return json::serialize(described);
}

std::shared_ptr<Router> ApiTable::router(std::string_view title, std::string_view version) const {
  auto router = std::make_shared<Router>();
  router->authenticate(authenticate_);
  for (const Operation& operation : operations_) {
    const About& about = operation.about;
    const Route route{.handler = operation.handler, .open = about.open, .body_bytes = about.body_bytes};
    router->add(operation.method, about.path, route);
    for (const std::string& path : about.also_at) router->add(operation.method, path, route);
  }
  router->add("GET", "/openapi.json",
              {.handler = [document = document(title, version)](const Request&,
                                                                BodyReader&) { return ready({.body = document}); },
               .open = true});
  return router;
}

}  // namespace millrace::http
