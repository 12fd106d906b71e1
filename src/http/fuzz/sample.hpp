#pragma once

#include "http/api_table.hpp"

/// Types of every shape that the JSON mapping knows, and operations that take them; for tests and fuzz targets.
namespace millrace::http::sample {

enum class Level { low, high };
BOOST_DESCRIBE_ENUM(Level, low, high)

struct Filter {
  std::string column;
  std::optional<double> above;
};
BOOST_DESCRIBE_STRUCT(Filter, (), (column, above))

struct Search {
  std::string text;
  std::uint8_t limit = 0;
  bool exact = false;
  std::optional<Level> level;
  std::vector<Filter> filters;
  std::map<std::string, std::int64_t> weights;
};
BOOST_DESCRIBE_STRUCT(Search, (), (text, limit, exact, level, filters, weights))

struct Page {
  std::uint32_t limit = 0;
  std::optional<std::string> after;
  std::optional<bool> newest;
  std::optional<double> above;
  std::optional<Level> level;
};
BOOST_DESCRIBE_STRUCT(Page, (), (limit, after, newest, above, level))

struct Kept {
  RawJson what;
  std::optional<std::string> name;
};
BOOST_DESCRIBE_STRUCT(Kept, (), (what, name))

struct Answer {
  std::string text;
};
BOOST_DESCRIBE_STRUCT(Answer, (), (text))

struct Place {
  std::string name;
  std::int16_t number = 0;
};
BOOST_DESCRIBE_STRUCT(Place, (), (name, number))

inline asio::awaitable<Answer> answer_page(Query<Page> page) { co_return Answer{to_json(page.value)}; }
inline asio::awaitable<Answer> answer_search(Body<Search> search) { co_return Answer{to_json(search.value)}; }
inline asio::awaitable<Reply<Answer>> answer_place(Path<Place> place) {
  if (place->number < 0) co_return problem(404, "there is none");
  co_return Reply<Answer>{{to_json(place.value)}, {{"Location", place->name}}};
}
inline asio::awaitable<Reply<Answer>> answer_all(Query<Page> page, Path<Place> place, Body<Search> search) {
  co_return Answer{to_json(place.value) + to_json(page.value) + to_json(search.value)};
}
inline asio::awaitable<Reply<NoContent>> answer_nothing(Path<Place> /*place*/) { co_return NoContent{}; }

/// A body that is there.
class Text final : public BodyReader {
 public:
  explicit Text(std::string text) : text_(std::move(text)) {}
  asio::awaitable<Result<std::string>> read() override { co_return std::exchange(text_, {}); }
  void limit(std::uint64_t) override {}

 private:
  std::string text_;
};

inline std::shared_ptr<const Router> routes() {
  ApiTable table;
  table.add("GET", {.path = "/page", .summary = "A page"}, answer_page);
  table.add("POST", {.path = "/search", .summary = "A search"}, answer_search);
  table.add("GET", {.path = "/places/{name}/{number}", .summary = "A place", .problems = {{404, "There is none"}}},
            answer_place);
  table.add("PUT", {.path = "/places/{name}/{number}", .summary = "All kinds of input", .status = 201}, answer_all);
  table.add("DELETE", {.path = "/places/{name}/{number}", .summary = "No place", .status = 204}, answer_nothing);
  table.add("GET", {.path = "/places/all/first", .summary = "A fixed path"}, answer_page);
  return table.router("Sample", "1");
}

}  // namespace millrace::http::sample
