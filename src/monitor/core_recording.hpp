#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/figure_table.hpp"
#include "monitor/slow_query.hpp"

namespace millrace {

/// How a template is known by.
struct TemplateText {
  std::uint64_t key = 0;  ///< of fingerprint and engine
  std::uint64_t fingerprint = 0;
  Engine engine = Engine::postgresql;
  std::uint8_t kind = 0;
  std::string text = {};  ///< one of its statements, with its constants; cut off where it is long
  ParameterTexts parameters = {};
  std::string user = {}, database = {};  ///< whose this one was, and where; see `PerformanceHistory::describe_anew`
};

/// Who asks. Empty where it isn't known.
struct CallerNames {
  std::string user = {}, database = {}, application = {}, project = {};
};

/// What one core has recorded since it handed over the last one: about a second's queries. Bounded. One thread's at a
/// time.
struct CoreRecording {
  static constexpr std::size_t most_callers = 512;
  static constexpr std::size_t most_new_templates = 512;
  static constexpr std::size_t most_slow = 64;

  FigureTable templates{FigureTable::most};
  FigureTable callers{most_callers};
  std::vector<TemplateText> new_templates = {};
  std::vector<CallerNames> new_callers = {};
  std::vector<SlowQuery> slow = {};
  std::uint64_t slow_lost = 0;  ///< slow queries beyond `most_slow`
  std::int64_t since_ns = 0;    ///< when it began
};

}  // namespace millrace
