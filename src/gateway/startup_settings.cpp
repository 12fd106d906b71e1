#include "gateway/startup_settings.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace millrace::gateway {

std::optional<backend::ParameterList> settings_of(const backend::ParameterList& startup) {
  // What the options set is set first, wherever they stand.
  backend::ParameterList settings;
  for (const auto& [name, value] : startup) {
    if (name != "options") continue;
    std::vector<std::string> words;
    bool in_word = false;
    for (std::size_t at = 0; at < value.size(); ++at) {
      if (std::string_view(" \t\n\r\f\v").contains(value[at])) {
        in_word = false;
        continue;
      }
      if (!std::exchange(in_word, true)) words.emplace_back();
      if (value[at] == '\\' && at + 1 < value.size()) ++at;
      words.back() += value[at];
    }
    for (std::size_t at = 0; at < words.size(); ++at) {
      std::string_view word = words[at];
      if (word == "-c" && at + 1 < words.size()) {
        word = words[++at];
      } else if (word.starts_with("--") || word.starts_with("-c")) {
        word.remove_prefix(2);
      } else {
        return std::nullopt;
      }
      const auto equals = word.find('=');
      if (equals == std::string_view::npos) return std::nullopt;
      std::string setting(word.substr(0, equals));
      std::ranges::replace(setting, '-', '_');
      settings.emplace_back(std::move(setting), word.substr(equals + 1));
    }
  }
  for (const auto& [name, value] : startup) {
    if (name != "user" && name != "database" && name != "options") settings.emplace_back(name, value);
  }
  for (auto& [name, value] : settings) {
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return settings;
}

}  // namespace millrace::gateway
