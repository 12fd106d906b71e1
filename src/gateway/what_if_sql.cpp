#include "gateway/what_if_sql.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <charconv>

namespace millrace::gateway::what_if_sql {

double number(const std::optional<std::string>& text) {
  double value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::vector<std::string> texts(const std::optional<std::string>& array) {
  namespace json = boost::json;
  std::vector<std::string> all;
  boost::system::error_code error;
  const auto parsed = json::parse(array.value_or("[]"), error);
  if (error || !parsed.is_array()) return all;
  for (const auto& each : parsed.get_array()) all.emplace_back(each.is_string() ? each.get_string() : json::string());
  return all;
}

}  // namespace millrace::gateway::what_if_sql
