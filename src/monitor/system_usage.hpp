#pragma once

#include <cstdint>
#include <optional>

namespace millrace {

/// This machine's processors and memory, and this process's, by the kernel's accounting in /proc. NaN: it can't be had.
struct SystemUsage {
  double cpu_percent;     ///< of all processors, since the last look
  double memory_percent;  ///< of the machine's, without what the kernel would give back at once
  double process_mb;      ///< resident, of this process; MiB
};

/// Not thread-safe; reads files, so not for an I/O thread.
class SystemUsageMeter {
 public:
  SystemUsage look();

 private:
  struct Ticks {
    std::uint64_t busy = 0;
    std::uint64_t all = 0;
  };
  static std::optional<Ticks> ticks();
  std::optional<Ticks> last_;
};

}  // namespace millrace
