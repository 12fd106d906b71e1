#pragma once

#include <optional>
#include <string>

#include "config/load.hpp"

namespace millrace::cli {

struct AlertsCommand {
  enum class What { list, rules, create, acknowledge, resolve, remove, remove_rule };
  What what = What::list;

  bool all = false;     ///< of `list`: those that are over, too
  std::string id = {};  ///< of an alert; of a rule for `remove_rule`
  std::optional<std::string> by = {};

  // Of `create`; what isn't given is REST's default.
  std::string metric_type = {};
  double threshold_value = 0;
  std::optional<std::string> comparison_operator = {};
  std::optional<int> window_minutes = {}, min_occurrences = {}, min_samples = {};
  std::optional<std::string> severity = {}, no_data = {};
  std::optional<double> clear_value = {};
};

/// Asks a running Millrace for its alerts, or to do something about them. The exit code: failure if it doesn't.
int alerts(const config::Sources& sources, const AlertsCommand& command, bool json);

}  // namespace millrace::cli
