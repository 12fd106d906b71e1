#include "backend/server_process.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace millrace::backend {

namespace {

/// "": it can't be had.
std::string read(pid_t process, const char* what) {
  std::ifstream file(fmt::format("/proc/{}/{}", process, what), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// 0: it can't be had.
pid_t parent_of(pid_t process) {
  const std::string stat = read(process, "stat");
  // PID (NAME) STATE PARENT: a name may hold anything.
  const auto name_ends = stat.rfind(')');
  if (name_ends == std::string::npos || name_ends + 4 > stat.size()) return 0;
  return static_cast<pid_t>(std::strtol(stat.c_str() + name_ends + 4, nullptr, 10));
}

/// Ours, of a connection by TCP; 0: it can't be had.
std::uint16_t local_port(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

}  // namespace

std::optional<ServerProcess> ServerProcess::find(int socket, std::uint32_t process_id) {
  const auto process = static_cast<pid_t>(process_id);
  if (process <= 1) return std::nullopt;
  int family = 0;
  socklen_t size = sizeof(family);
  if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) return std::nullopt;
  if (family == AF_UNIX) {
    // The peer is who listened: the postmaster, whose child it is.
    ucred peer{};
    size = sizeof(peer);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0) return std::nullopt;
    return parent_of(process) == peer.pid ? std::optional(ServerProcess(process)) : std::nullopt;
  }
  // Its title is "postgres: USER DATABASE HOST(PORT) ...".
  const std::uint16_t port = local_port(socket);
  const std::string title = read(process, "cmdline");
  const bool is_it = port != 0 && title.starts_with("postgres: ") && title.contains(fmt::format("({})", port));
  return is_it ? std::optional(ServerProcess(process)) : std::nullopt;
}

std::optional<std::size_t> ServerProcess::own_memory() const {
  std::ifstream file(fmt::format("/proc/{}/status", id_));
  std::optional<std::size_t> kilobytes;
  for (std::string name, rest; file >> name && std::getline(file, rest);) {
    if (name != "RssAnon:" && name != "VmSwap:") continue;
    kilobytes = kilobytes.value_or(0) + std::strtoull(rest.c_str(), nullptr, 10);
  }
  if (!kilobytes) return std::nullopt;
  return *kilobytes << 10U;
}

}  // namespace millrace::backend
