#include "sql/scan_guard.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::sql {

namespace {

/// Characters that the scanner may read more than once.
constexpr std::size_t kReadAgainPerByte = 256;
constexpr std::size_t kReadAgainAtLeast = 100'000;

enum class Class : std::uint8_t { other, of_operator, sign };

constexpr std::array<Class, 256> kClasses = [] {
  std::array<Class, 256> classes{};
  for (const unsigned char c : std::string_view("~!@#^&|`?*/%<>=")) classes[c] = Class::of_operator;
  classes['+'] = classes['-'] = Class::sign;
  return classes;
}();

constexpr Class class_of(char c) { return kClasses[static_cast<unsigned char>(c)]; }

}  // namespace

bool scans_slowly(std::string_view text) {
  std::size_t read_again = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (class_of(text[i]) == Class::other) continue;
    const std::size_t begin = i;
    std::size_t times = 0;  // that the run is put back
    for (; i < text.size() && class_of(text[i]) != Class::other; ++i) {
      const bool opens_comment = text[i] == '*' && i > begin && text[i - 1] == '/';
      if (opens_comment || class_of(text[i]) == Class::sign) ++times;
    }
    read_again += times * (i - begin);
  }
  return read_again > kReadAgainAtLeast + kReadAgainPerByte * text.size();
}

}  // namespace millrace::sql
