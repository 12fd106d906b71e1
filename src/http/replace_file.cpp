#include "http/replace_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace millrace::http {
namespace {

Result<> fail_with_errno(std::string what) { return fail(std::move(what) + ": " + std::strerror(errno)); }

/// Until it is on the disk.
Result<> write_file(const std::string& path, std::string_view text) {
  constexpr mode_t for_us_only = 0600;
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, for_us_only);
  if (file < 0) return fail_with_errno("could not write " + path);
  Result<> done;
  while (!text.empty() && done) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      done = fail_with_errno("could not write " + path);
    }
  }
  if (done && fsync(file) != 0) done = fail_with_errno("could not write " + path);
  close(file);
  return done;
}

}  // namespace

Result<> replace_file(const std::string& path, std::string_view text) {
  const std::string next = path + ".next";
  if (auto written = write_file(next, text); !written) return written;
  if (rename(next.c_str(), path.c_str()) != 0) return fail_with_errno("could not replace " + path);
  return {};
}

}  // namespace millrace::http
