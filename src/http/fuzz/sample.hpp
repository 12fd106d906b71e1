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

struct Answer {
  std::string text;
};
BOOST_DESCRIBE_STRUCT(Answer, (), (text))

inline asio::awaitable<Answer> answer_page(Page page) { co_return Answer{to_json(page)}; }
inline asio::awaitable<Answer> answer_search(Search search) { co_return Answer{to_json(search)}; }

inline std::shared_ptr<const Router> routes() {
  ApiTable table;
  table.get<Page, Answer>({.path = "/page", .summary = "A page"}, answer_page);
  table.post<Search, Answer>({.path = "/search", .summary = "A search"}, answer_search);
  return table.router("Sample", "1");
}

}  // namespace millrace::http::sample
