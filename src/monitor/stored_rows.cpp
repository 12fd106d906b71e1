#include "monitor/stored_rows.hpp"

#include <cstring>

namespace millrace::stored {
namespace {

constexpr std::uint32_t null_length = 0xffffffff;

}  // namespace

Result<> add_figures(const backend::DuckDbRows& row, std::size_t column, SubjectFigures& sum) {
  QueryFigures figures;
  for (const auto member : figure_members) figures.*member = row.number(column++);
  const auto durations = CompactHistogram::of_bytes(row.text(column));
  if (!durations) return fail("a histogram in the store can't be read", std::string(backend::duckdb_error::corrupted));
  sum.figures += figures;
  sum.durations += *durations;
  return {};
}

std::string packed(const ParameterTexts& parameters) {
  std::string bytes;
  for (const auto& parameter : parameters) {
    const std::uint32_t length = parameter ? static_cast<std::uint32_t>(parameter->size()) : null_length;
    std::array<char, sizeof(length)> head{};
    std::memcpy(head.data(), &length, sizeof(length));
    bytes.append(head.data(), head.size());
    if (parameter) bytes += *parameter;
  }
  return bytes;
}

ParameterTexts unpacked(std::string_view bytes) {
  ParameterTexts parameters;
  std::uint32_t length = 0;
  while (bytes.size() >= sizeof(length)) {
    std::memcpy(&length, bytes.data(), sizeof(length));
    bytes.remove_prefix(sizeof(length));
    if (length == null_length) {
      parameters.emplace_back();
    } else if (length <= bytes.size()) {
      parameters.emplace_back(bytes.substr(0, length));
      bytes.remove_prefix(length);
    } else {
      break;
    }
  }
  return parameters;
}

}  // namespace millrace::stored
