#include "cli/answer_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace millrace::cli {

namespace json = boost::json;

std::string text_of(const json::value& root, std::string_view pointer) {
  boost::system::error_code ignored;
  const auto* value = root.find_pointer(pointer, ignored);
  if (value == nullptr || value->is_null()) return {};
  if (value->is_double()) return fmt::format("{:.2f}", value->get_double());
  return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

std::string line(std::string_view name, std::string_view value) {
  return value.empty() ? std::string() : fmt::format("{:<12}{}\n", name, value);
}

std::string time_line(std::string_view name, const json::value& root, const std::string& prefix) {
  boost::system::error_code ignored;
  const auto number = [&](const char* member) {
    const auto* value = root.find_pointer(prefix + member, ignored);
    return value != nullptr && value->is_number() ? std::optional(value->to_number<double>()) : std::nullopt;
  };
  const auto ms = number("/execution_time_estimate_ms"), confidence = number("/confidence_score");
  if (!ms || !confidence) return {};
  return line(name, fmt::format("{:.{}f} ms; {:.0f} % of the {} were within a factor of two", *ms, *ms < 10 ? 2 : 0,
                                100 * *confidence, text_of(root, prefix + "/estimated_from")));
}

std::string lines(std::string_view name, const json::value& root, std::string_view pointer) {
  boost::system::error_code ignored;
  const auto* value = root.find_pointer(pointer, ignored);
  const auto* list = value == nullptr ? nullptr : value->if_array();
  std::string out;
  if (list == nullptr) return out;
  for (const auto& one : *list) {
    if (one.is_string()) out += fmt::format("{:<12}{}\n", out.empty() ? name : "", std::string_view(one.get_string()));
  }
  return out;
}

std::string reason_of(const HttpAnswer& answer) {
  boost::system::error_code error;
  const auto root = json::parse(answer.body, error);
  for (const auto* pointer : {"/detail/0/msg", "/detail"}) {
    if (auto said = error ? std::string() : text_of(root, pointer); !said.empty())
      return fmt::format("{} (HTTP {})", said, answer.status);
  }
  return fmt::format("HTTP {}", answer.status);
}

}  // namespace millrace::cli
