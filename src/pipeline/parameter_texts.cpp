#include "pipeline/parameter_texts.hpp"

#include <fmt/format.h>

#include "pgwire/protocol/lists.hpp"

namespace millrace::pipeline {
namespace {

std::string hexadecimal(std::string_view bytes) {
  std::string shown = "\\x";
  for (const char byte : bytes) shown += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return shown;
}

}  // namespace

ParameterTexts parameter_texts(std::string_view bound) {
  ParameterTexts texts;
  if (bound.empty()) return texts;
  pgwire::Reader reader(pgwire::as_bytes(bound));
  const std::uint16_t formats_count = reader.u16();
  const pgwire::FormatList formats(reader.bytes(formats_count * sizeof(std::uint16_t)));
  const std::uint16_t count = reader.u16();
  for (std::size_t at = 0; at < count; ++at) {
    const auto value = reader.value();
    if (!reader.good()) break;
    const bool is_binary = formats.size() == 1 ? formats[0] != 0 : at < formats.size() && formats[at] != 0;
    if (!value) {
      texts.emplace_back(std::nullopt);
    } else {
      const std::string_view bytes = pgwire::as_text(*value);
      texts.emplace_back(is_binary ? hexadecimal(bytes) : std::string(bytes));
    }
  }
  return texts;
}

}  // namespace millrace::pipeline
