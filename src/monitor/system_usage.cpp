#include "monitor/system_usage.hpp"

#include <unistd.h>

#include <array>
#include <fstream>
#include <limits>
#include <string>

namespace millrace {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

double memory_percent() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::string rest;
  double kilobytes = 0;
  double total = 0;
  double available = -1;
  while (file >> name >> kilobytes && std::getline(file, rest)) {
    if (name == "MemTotal:") total = kilobytes;
    if (name == "MemAvailable:") available = kilobytes;
  }
  return total > 0 && available >= 0 ? 100 * (1 - available / total) : unknown;
}

double process_mb() {
  std::ifstream file("/proc/self/statm");
  double size = 0;
  double resident = 0;
  if (!(file >> size >> resident)) return unknown;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1024 * 1024);
}

}  // namespace

std::optional<SystemUsageMeter::Ticks> SystemUsageMeter::ticks() {
  std::ifstream file("/proc/stat");
  std::string name;
  if (!(file >> name) || name != "cpu") return std::nullopt;
  // user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already.
  std::array<std::uint64_t, 8> counts{};
  Ticks sum;
  for (std::size_t i = 0; i < counts.size() && file >> counts[i]; ++i) {
    sum.all += counts[i];
    constexpr std::size_t idle = 3;
    constexpr std::size_t iowait = 4;
    if (i != idle && i != iowait) sum.busy += counts[i];
  }
  return sum;
}

SystemUsage SystemUsageMeter::look() {
  const auto now = ticks();
  double cpu = unknown;
  if (now && last_ && now->all > last_->all && now->busy >= last_->busy) {
    cpu = 100 * static_cast<double>(now->busy - last_->busy) / static_cast<double>(now->all - last_->all);
  }
  last_ = now;
  return {.cpu_percent = cpu, .memory_percent = memory_percent(), .process_mb = process_mb()};
}

}  // namespace millrace
