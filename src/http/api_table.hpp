#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "http/input.hpp"
#include "http/json_schema.hpp"
#include "http/reply.hpp"
#include "http/router.hpp"

namespace millrace::http {

/// What a reader of the API's document learns about an operation.
struct About {
  std::string path;  ///< without a slash at the end; "{name}" stands for a parameter
  std::string summary;
  std::string description = {};
  std::vector<std::string> also_at = {};         ///< other paths that lead to it; left out of the document
  int status = 200;                              ///< of the answer that is expected
  std::map<int, std::string> problems = {};      ///< the other statuses that it answers, and when
  std::string media_type = "application/json";   ///< of a handler's own Response
  bool open = false;                             ///< for everybody, with or without a name
  std::optional<std::uint64_t> body_bytes = {};  ///< the body's limit, in place of the server's
};

/// The table of all operations: what requests are routed by, checked against and documented from.
///
///     table.add("GET", {.path = "/status", .summary = "How it is"}, [=] { return status(sources); });
///     table.add("PUT", {.path = "/entries/{key}", ...}, put_entry);
///
/// A handler's parameters are what it takes of a request (`input.hpp`). It answers an awaitable of
/// - a described struct: in JSON, with the status of its About;
/// - a Reply of one, which may also be another response, such as a problem, or have headers;
/// - a Reply<NoContent>: no body;
/// - a Response: as it is, of About's media type. So are streamed bodies answered, and WebSockets (with status 101).
class ApiTable {
 public:
  /// Throws std::logic_error if a Path's members aren't the path's parameters.
  template <typename F>
  void add(std::string method, About about, F handler) {
    add_function(std::move(method), std::move(about), std::function(std::move(handler)));
  }

  /// From now on who isn't let pass reaches only what is open. `scheme` is that of RFC 9110's Authorization header, in
  /// lower case, and for the document only: "bearer", "basic"; so is `key_header`, a header that may have a key
  /// instead.
  void authenticate(std::string scheme, Authenticate authenticate, std::string key_header = {});

  /// The OpenAPI 3.1 document of all that was added so far.
  std::string document(std::string_view title, std::string_view version) const;

  /// The router of all that was added, and of `GET /openapi.json`.
  std::shared_ptr<Router> router(std::string_view title, std::string_view version) const;

 private:
  struct Operation {
    std::string method;
    About about;
    std::vector<std::string> path_members = {};  ///< the members of its Path
    boost::json::array parameters = {};
    boost::json::object body = {};  ///< by media type; empty if there is no body
    boost::json::object answer = {};
    Handler handler = {};

    bool has_input() const { return !parameters.empty() || !body.empty(); }
  };

  template <typename Answer, typename... Inputs>
  void add_function(std::string method, About about, std::function<asio::awaitable<Answer>(Inputs...)> handler);
  void add_operation(Operation operation);

  template <typename T>
  void describe_parameters(std::string_view in, Operation& operation);
  template <typename T>
  void describe_input(std::type_identity<Path<T>>, Operation& operation);
  template <typename T>
  void describe_input(std::type_identity<Query<T>>, Operation& operation);
  template <typename T>
  void describe_input(std::type_identity<Body<T>>, Operation& operation);
  template <typename T>
  void describe_input(std::type_identity<LaterBody<T>>, Operation& operation) {
    describe_input(std::type_identity<Body<T>>(), operation);
  }

  void describe_input(std::type_identity<Principal>, Operation&) {}
  void describe_input(std::type_identity<Accept>, Operation&) {}
  void describe_input(std::type_identity<BodyReader&>, Operation& operation);

  template <typename T>
  boost::json::object describe_answer(std::type_identity<T>, const About& about);
  template <typename T>
  boost::json::object describe_answer(std::type_identity<Reply<T>>, const About& about);

  boost::json::object describe(const Operation& operation) const;

  bool is_guarded(const About& about) const { return authenticate_ != nullptr && !about.open; }

  Schemas schemas_;
  std::string scheme_;
  std::string key_header_;
  Authenticate authenticate_;
  std::vector<Operation> operations_;
};

/// An answer that is known at once.
inline asio::awaitable<Response> ready(Response response) { co_return response; }

/// Reads what `handler` takes of the request, and calls it if that fits. What is given by reference must outlive the
/// answer.
template <typename Answer, typename... Inputs>
asio::awaitable<Response> answer_checked(const std::function<asio::awaitable<Answer>(Inputs...)>& handler,
                                         const About& about, const std::vector<std::string>& path_names,
                                         Request request, BodyReader& body) {
  Given given{.request = request, .body = body, .path_names = path_names};
  if constexpr ((is_body_input<Inputs> || ...)) {
    Result<std::string> text = co_await body.read_all();
    if (!text) co_return problem(400, text.error().message);
    given.body_text = *std::move(text);
  }
  std::tuple<Inputs...> inputs{read_input(std::type_identity<Inputs>(), given)...};
  if (!given.problems.empty()) co_return unprocessable(given.problems);
  Answer answer = co_await std::apply(handler, std::move(inputs));
  if constexpr (std::same_as<Answer, Response>) {
    if (answer.status == about.status) answer.content_type = about.media_type;
    co_return answer;
  } else {
    co_return to_response(Reply(std::move(answer)), about.status);
  }
}

template <typename Answer, typename... Inputs>
void ApiTable::add_function(std::string method, About about,
                            std::function<asio::awaitable<Answer>(Inputs...)> handler) {
  Operation operation{.method = std::move(method), .about = std::move(about)};
  (describe_input(std::type_identity<Inputs>(), operation), ...);
  operation.answer = describe_answer(std::type_identity<Answer>(), operation.about);
  operation.handler = [handler = std::move(handler), about = operation.about,
                       names = parameter_names(operation.about.path)](Request request, BodyReader& body) {
    return answer_checked(handler, about, names, std::move(request), body);
  };
  add_operation(std::move(operation));
}

template <typename T>
void ApiTable::describe_parameters(std::string_view in, Operation& operation) {
  for_each_member<T>([&](auto member) {
    using Member = MemberType<T, decltype(member)>;
    operation.parameters.push_back(boost::json::object{{"name", member.name},
                                                       {"in", in},
                                                       {"required", !is_optional<Member>},
                                                       {"schema", schemas_.of<Member>(Schemas::Direction::request)}});
  });
}

template <typename T>
void ApiTable::describe_input(std::type_identity<Path<T>>, Operation& operation) {
  for_each_member<T>([&](auto member) { operation.path_members.emplace_back(member.name); });
  describe_parameters<T>("path", operation);
}

template <typename T>
void ApiTable::describe_input(std::type_identity<Query<T>>, Operation& operation) {
  describe_parameters<T>("query", operation);
}

template <typename T>
void ApiTable::describe_input(std::type_identity<Body<T>>, Operation& operation) {
  operation.body = {{"application/json", boost::json::object{{"schema", schemas_.of<T>(Schemas::Direction::request)}}}};
}

template <typename T>
boost::json::object ApiTable::describe_answer(std::type_identity<T>, const About& about) {
  boost::json::object schema;
  if constexpr (!std::same_as<T, Response>) {
    schema = schemas_.of<T>(Schemas::Direction::answer);
  } else if (about.status == 101) {
    return {};
  } else if (!is_json(about.media_type)) {
    schema = {{"type", "string"}};
  }
  const std::string media_type = about.media_type.substr(0, about.media_type.find(';'));
  return {{media_type, boost::json::object{{"schema", std::move(schema)}}}};
}

template <typename T>
boost::json::object ApiTable::describe_answer(std::type_identity<Reply<T>>, const About& about) {
  if constexpr (std::same_as<T, NoContent>) {
    return {};
  } else {
    return describe_answer(std::type_identity<T>(), about);
  }
}

}  // namespace millrace::http
