#include "http/kept_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/log.hpp"
#include "http/replace_file.hpp"

namespace millrace::http {
namespace {

namespace fs = std::filesystem;

/// The error number of what failed; ENOENT: it isn't there.
std::expected<std::string, int> text_of(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::unexpected(errno);
  std::string text;
  std::array<char, 65536> part;
  ssize_t got = 0;
  while ((got = ::read(file, part.data(), part.size())) != 0) {
    if (got > 0) {
      text.append(part.data(), static_cast<std::size_t>(got));
    } else if (errno != EINTR) {
      const int why = errno;
      close(file);
      return std::unexpected(why);
    }
  }
  close(file);
  return text;
}

/// It isn't the file's fault: it may be read the next time.
bool is_passing(int why) {
  return why == EMFILE || why == ENFILE || why == ENOMEM || why == EINTR || why == EIO || why == EAGAIN;
}

/// Puts it where no file is. False: it could not.
bool move_aside(const std::string& path) {
  constexpr int most_aside = 100;
  for (int number = 0; number < most_aside; ++number) {
    const std::string aside = path + ".unreadable" + (number == 0 ? "" : fmt::format(".{}", number));
    std::error_code failed;
    if (fs::exists(fs::symlink_status(aside, failed))) continue;
    if (failed && failed != std::errc::no_such_file_or_directory) return false;
    failed.clear();
    fs::rename(path, aside, failed);
    return !failed;
  }
  return false;
}

}  // namespace

std::optional<std::string> KeptFile::read() {
  if (path_.empty()) return std::nullopt;
  auto text = text_of(path_);
  if (text) return *std::move(text);
  if (is_passing(text.error())) {
    is_in_the_way_ = true;
    log::error(fmt::format("{} could not be read, and begin anew; nothing is saved until the next start", what_),
               {{"file", path_}, {"reason", std::strerror(text.error())}});
  } else if (text.error() != ENOENT) {
    set_aside(std::strerror(text.error()));
  }
  return std::nullopt;
}

void KeptFile::set_aside(std::string_view reason) {
  is_in_the_way_ = !move_aside(path_);
  log::error(fmt::format("{} could not be read, and begin anew{}", what_,
                         is_in_the_way_ ? "; the file could not be set aside: nothing is saved" : ""),
             {{"file", path_}, {"reason", reason}});
}

Result<> KeptFile::replace(std::string_view text) const {
  if (path_.empty()) return {};
  if (is_in_the_way_) return fail(path_ + " could not be read, nor set aside");
  return replace_file(path_, text);
}

}  // namespace millrace::http
