#pragma once

#include <string>
#include <vector>

namespace millrace {

/// A plan's outline (`TemplatePlan`) as it would be if one process ran it: without Gather, "Parallel", and aggregates
/// that are made in parts. Two plans of which this is the same read the same by the same steps: PostgreSQL chooses the
/// number of processes by the tables' sizes and, when it runs the plan, by what else runs.
std::vector<std::string> serial_outline(const std::vector<std::string>& outline);

}  // namespace millrace
