#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace millrace::backend {

/// PostgreSQL's process at the other end of a connection, where that is of this machine: by the kernel's accounting in
/// /proc, which it takes some microseconds to read.
class ServerProcess {
 public:
  /// `socket`: the connection; `process_id`: as the server has said at the log-in. Nothing: it isn't certain that this
  /// process of this machine is the one, as the server is elsewhere, in a container, or behind another proxy.
  static std::optional<ServerProcess> find(int socket, std::uint32_t process_id);

  /// Bytes that are its own, in memory or swapped out: not shared buffers, nor what it maps of files. Its parallel
  /// workers are others. Nothing: it is gone.
  std::optional<std::size_t> own_memory() const;

 private:
  explicit ServerProcess(pid_t id) : id_(id) {}

  pid_t id_;
};

}  // namespace millrace::backend
