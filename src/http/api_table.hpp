#pragma once

#include <string>
#include <vector>

#include "http/json_schema.hpp"
#include "http/json_write.hpp"
#include "http/query_read.hpp"
#include "http/router.hpp"

namespace millrace::http {

/// What a reader of the API's document learns about an operation.
struct About {
  std::string path;  ///< without a slash at the end
  std::string summary;
  std::string description = {};
  std::vector<std::string> also_at = {};  ///< other paths that lead to it; left out of the document
};

/// The table of all operations: what requests are routed by, checked against and documented from.
///
///     table.get<Status>({.path = "/status", .summary = "How it is"}, [=] { return status(sources); });
///     table.post<Query, Plan>({...}, [=](Query query) { return analyze(sources, std::move(query)); });
class ApiTable {
 public:
  /// Answers without input.
  template <typename Answer>
  void get(About about, std::function<asio::awaitable<Answer>()> answer);

  /// Answers by the query's parameters, which are checked first: what doesn't fit is 422.
  template <typename Query, typename Answer>
  void get(About about, std::function<asio::awaitable<Answer>(Query)> answer);

  /// Answers by a JSON body, which is checked first: what doesn't fit is 422.
  template <typename Body, typename Answer>
  void post(About about, std::function<asio::awaitable<Answer>(Body)> answer);

  /// Answers text that isn't JSON.
  void get_text(About about, std::string content_type, std::function<std::string()> answer);

  /// The OpenAPI 3.1 document of all that was added so far.
  std::string document(std::string_view title, std::string_view version) const;

  /// The router of all that was added, and of `GET /openapi.json`.
  std::shared_ptr<const Router> router(std::string_view title, std::string_view version) const;

 private:
  struct Operation {
    std::string method;
    About about;
    boost::json::array parameters;
    boost::json::object body;  ///< a schema; empty if there is no body
    boost::json::object answer;
    std::string answer_type = "application/json";
    Handler handler;

    bool has_input() const { return !parameters.empty() || !body.empty(); }
  };

  boost::json::object describe(const Operation& operation) const;

  Schemas schemas_;
  std::vector<Operation> operations_;
};

/// Whether a media type is JSON: "application/json; charset=utf-8", "application/problem+json".
bool is_json(std::string_view content_type);

template <typename Answer>
asio::awaitable<Response> as_json(asio::awaitable<Answer> answer) {
  const Answer value = co_await std::move(answer);
  co_return Response{.body = to_json(value)};
}

/// An answer that is known at once.
inline asio::awaitable<Response> ready(Response response) { co_return response; }

template <typename Answer>
void ApiTable::get(About about, std::function<asio::awaitable<Answer>()> answer) {
  operations_.push_back({.method = "GET",
                         .about = std::move(about),
                         .parameters = {},
                         .body = {},
                         .answer = schemas_.of<Answer>(Schemas::Direction::answer),
                         .handler = [answer = std::move(answer)](const Request&) { return as_json(answer()); }});
}

template <typename Query, typename Answer>
void ApiTable::get(About about, std::function<asio::awaitable<Answer>(Query)> answer) {
  boost::json::array parameters;
  for_each_member<Query>([&](auto member) {
    using Member = MemberType<Query, decltype(member)>;
    parameters.push_back(boost::json::object{{"name", member.name},
                                             {"in", "query"},
                                             {"required", !is_optional<Member>},
                                             {"schema", schemas_.of<Member>(Schemas::Direction::request)}});
  });
  operations_.push_back({.method = "GET",
                         .about = std::move(about),
                         .parameters = std::move(parameters),
                         .body = {},
                         .answer = schemas_.of<Answer>(Schemas::Direction::answer),
                         .handler = [answer = std::move(answer)](const Request& request) {
                           auto query = read_query<Query>(request.target.query);
                           if (!query) return ready(unprocessable(query.error()));
                           return as_json(answer(std::move(*query)));
                         }});
}

template <typename Body, typename Answer>
void ApiTable::post(About about, std::function<asio::awaitable<Answer>(Body)> answer) {
  operations_.push_back({.method = "POST",
                         .about = std::move(about),
                         .parameters = {},
                         .body = schemas_.of<Body>(Schemas::Direction::request),
                         .answer = schemas_.of<Answer>(Schemas::Direction::answer),
                         .handler = [answer = std::move(answer)](const Request& request) {
                           if (!is_json(request.content_type)) {
                             return ready(unprocessable({{{"body"}, "must be sent as application/json", "json_type"}}));
                           }
                           auto body = read_body<Body>(request.body);
                           if (!body) return ready(unprocessable(body.error()));
                           return as_json(answer(std::move(*body)));
                         }});
}

}  // namespace millrace::http
