#include "monitor/serial_outline.hpp"

#include <algorithm>
#include <span>
#include <string_view>

namespace millrace {
namespace {

constexpr std::string_view parallel = "Parallel ";
constexpr std::size_t level = 2;  ///< spaces

std::size_t indentation(std::string_view line) { return std::min(line.find_first_not_of(' '), line.size()); }

bool is_gather(std::string_view step) { return step == "Gather" || step == "Gather Merge"; }
bool is_aggregate(std::string_view step) { return step.ends_with("Aggregate"); }
bool is_sort(std::string_view step) { return step.ends_with("Sort"); }

std::string_view step_at(std::span<const std::string> lines, std::size_t at) {
  return at < lines.size() ? std::string_view(lines[at]).substr(indentation(lines[at])) : std::string_view();
}

/// How many lines at the start only put together what several processes have done.
std::size_t lines_of_parallelism(std::span<const std::string> lines) {
  if (is_gather(step_at(lines, 0))) return 1;
  if (!is_aggregate(step_at(lines, 0)) || !is_gather(step_at(lines, 1))) return 0;
  const std::size_t sorts = is_sort(step_at(lines, 2)) ? 1 : 0;
  return is_aggregate(step_at(lines, 2 + sorts)) ? 2 + sorts : 0;
}

}  // namespace

std::vector<std::string> serial_outline(const std::vector<std::string>& outline) {
  std::vector<std::string> serial;
  std::vector<std::size_t> left_out;  // indentations of the steps above that are
  for (std::size_t at = 0; at < outline.size(); ++at) {
    const std::size_t indented = indentation(outline[at]);
    while (!left_out.empty() && left_out.back() >= indented) left_out.pop_back();
    if (const auto lines = lines_of_parallelism(std::span(outline).subspan(at)); lines > 0) {
      for (std::size_t i = 0; i < lines; ++i) left_out.push_back(indentation(outline[at + i]));
      at += lines - 1;
      continue;
    }
    std::string_view step = step_at(outline, at);
    if (step.starts_with(parallel)) step.remove_prefix(parallel.size());
    serial.push_back(std::string(indented - level * left_out.size(), ' ').append(step));
  }
  return serial;
}

}  // namespace millrace
