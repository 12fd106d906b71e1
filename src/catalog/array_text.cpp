#include "catalog/array_text.hpp"

namespace millrace::catalog {

std::optional<std::vector<std::string>> elements_of(std::string_view array) {
  if (array.size() < 2 || array.front() != '{' || array.back() != '}') return std::nullopt;
  array = array.substr(1, array.size() - 2);
  std::vector<std::string> elements;
  if (array.empty()) return elements;
  std::string element;
  bool quoted = false;
  for (std::size_t i = 0; i < array.size(); ++i) {
    const char c = array[i];
    if (c == '"') {
      quoted = !quoted;
    } else if (c == '\\' && i + 1 < array.size()) {
      element.push_back(array[++i]);
    } else if (c == ',' && !quoted) {
      elements.push_back(std::move(element));
      element.clear();
    } else {
      element.push_back(c);
    }
  }
  if (quoted) return std::nullopt;
  elements.push_back(std::move(element));
  return elements;
}

}  // namespace millrace::catalog
