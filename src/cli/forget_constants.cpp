#include "cli/forget_constants.hpp"

#include <filesystem>
#include <string_view>
#include <system_error>

#include "base/log.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;

void erase(const fs::path& folder, bool (*holds_constants)(std::string_view name)) {
  std::error_code failed;
  for (fs::directory_iterator file(folder, failed), end; !failed && file != end; file.increment(failed)) {
    if (!holds_constants(file->path().filename().string())) continue;
    std::error_code not_removed;
    fs::remove(file->path(), not_removed);
    if (not_removed) {
      log::error("a file with constants could not be deleted",
                 {{"file", file->path().string()}, {"reason", not_removed.message()}});
    } else {
      log::info("constants aren't kept any more: a file that held some is deleted", {{"file", file->path().string()}});
    }
  }
  if (failed && failed != std::errc::no_such_file_or_directory)
    log::error("a folder that may hold constants can't be read",
               {{"folder", folder.string()}, {"reason", failed.message()}});
}

}  // namespace

void forget_constants(const std::string& data_dir) {
  if (data_dir.empty()) return;
  erase(data_dir,
        [](std::string_view name) { return name == "rewrites.json" || name.starts_with("rewrites.json.unreadable"); });
  erase(fs::path(data_dir) / "store",
        [](std::string_view name) { return name.starts_with("millrace.duckdb.unreadable."); });
}

}  // namespace millrace::cli
