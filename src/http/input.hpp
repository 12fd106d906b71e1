#pragma once

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "http/body.hpp"
#include "http/parameter_read.hpp"

namespace millrace::http {

/// What a handler takes of a request, by the types of its parameters, in any order. It is checked before the handler is
/// called: what doesn't fit is 422.
///
///     asio::awaitable<Entry> put_entry(Path<EntryPath> path, Query<EntryOptions> options, Body<Entry> entry);
///
/// A handler may also take the Principal, the header Accept, and in place of a Body the BodyReader&, to read a body of
/// any kind in parts.

/// The path's parameters: a struct that has a member for each, by its name.
template <DescribedStruct T>
struct Path {
  T value;
  const T* operator->() const { return &value; }
};

/// The query's parameters.
template <DescribedStruct T>
struct Query {
  T value;
  const T* operator->() const { return &value; }
};

/// The body, in JSON.
template <typename T>
struct Body {
  T value;
  const T* operator->() const { return &value; }
};

/// The body, in JSON, which may be large: the handler has it read where that doesn't keep the I/O thread.
template <typename T>
class LaterBody {
 public:
  LaterBody() = default;
  explicit LaterBody(std::string text) : text_(std::move(text)) {}
  std::size_t bytes() const { return text_.size(); }
  std::expected<T, std::vector<ValidationProblem>> read() const { return read_body<T>(text_); }

 private:
  std::string text_;
};

/// The header of that name: what media types the client wants.
struct Accept {
  std::string value;
};

template <typename T>
inline constexpr bool is_body_input = false;
template <typename T>
inline constexpr bool is_body_input<Body<T>> = true;
template <typename T>
inline constexpr bool is_body_input<LaterBody<T>> = true;

/// What inputs are read from, and what is wrong with them.
struct Given {
  const Request& request;
  BodyReader& body;
  const std::vector<std::string>& path_names;  ///< the names of request.path_parameters
  std::string body_text = {};                  ///< for a Body
  std::vector<ValidationProblem> problems = {};

  /// What was read; in its place, where there are problems, a T that mustn't be used.
  template <typename T>
  T checked(std::expected<T, std::vector<ValidationProblem>> read) {
    if (read) return *std::move(read);
    problems.insert(problems.end(), std::make_move_iterator(read.error().begin()),
                    std::make_move_iterator(read.error().end()));
    return T{};
  }
};

/// Whether a media type is JSON: "application/json; charset=utf-8", "application/problem+json".
bool is_json(std::string_view content_type);

template <typename T>
Path<T> read_input(std::type_identity<Path<T>>, Given& given) {
  return {given.checked(read_path<T>(given.path_names, given.request.path_parameters))};
}

template <typename T>
Query<T> read_input(std::type_identity<Query<T>>, Given& given) {
  return {given.checked(read_query<T>(given.request.target.query))};
}

template <typename T>
Body<T> read_input(std::type_identity<Body<T>>, Given& given) {
  if (is_json(given.request.header("content-type"))) return {given.checked(read_body<T>(given.body_text))};
  given.problems.push_back({{"body"}, "must be sent as application/json", "json_type"});
  return {};
}

template <typename T>
LaterBody<T> read_input(std::type_identity<LaterBody<T>>, Given& given) {
  if (is_json(given.request.header("content-type"))) return LaterBody<T>(std::move(given.body_text));
  given.problems.push_back({{"body"}, "must be sent as application/json", "json_type"});
  return {};
}

inline Principal read_input(std::type_identity<Principal>, Given& given) { return given.request.principal; }
inline Accept read_input(std::type_identity<Accept>, Given& given) {
  return {std::string(given.request.header("accept"))};
}
inline BodyReader& read_input(std::type_identity<BodyReader&>, Given& given) { return given.body; }

}  // namespace millrace::http
