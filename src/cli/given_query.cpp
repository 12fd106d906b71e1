#include "cli/given_query.hpp"

#include <iostream>
#include <iterator>

namespace millrace::cli {

boost::json::object asked_of(const GivenQuery& given) {
  std::string query = given.query;
  if (query == "-") query.assign(std::istreambuf_iterator<char>(std::cin), {});
  boost::json::object asked{{"query", query}};
  if (!given.database.empty()) asked["database"] = given.database;
  if (!given.user.empty()) asked["user"] = given.user;
  return asked;
}

}  // namespace millrace::cli
