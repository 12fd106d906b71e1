#include "gateway/application_name.hpp"

#include <algorithm>
#include <string>

namespace millrace::gateway {
namespace {

bool can_be_set(std::string_view application) {
  constexpr std::size_t longest_name = 63;
  return application.size() <= longest_name &&
         std::all_of(application.begin(), application.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::string literal(std::string_view text) {
  std::string quoted = text.find('\\') == std::string_view::npos ? "'" : "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted + '\'';
}

}  // namespace

std::shared_ptr<const backend::Settings> application_setting(std::string_view application) {
  if (!can_be_set(application)) return nullptr;
  return std::make_shared<const backend::Settings>(
      backend::Settings{{std::string(application_name), "SET application_name TO " + literal(application)}});
}

}  // namespace millrace::gateway
