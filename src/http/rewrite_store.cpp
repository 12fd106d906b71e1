#include "http/rewrite_store.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/log.hpp"
#include "http/json_read.hpp"
#include "http/json_write.hpp"
#include "http/replace_file.hpp"

namespace millrace::http {
namespace {

constexpr int present_version = 1;

struct RewritesFile {
  int version = present_version;
  std::vector<pipeline::RewriteReport> rewrites;
};
BOOST_DESCRIBE_STRUCT(RewritesFile, (), (version, rewrites))

}  // namespace

RewriteStore::RewriteStore(std::string folder) : path_(folder.empty() ? "" : std::move(folder) + "/rewrites.json") {}

std::vector<pipeline::RewriteReport> RewriteStore::load() const {
  if (path_.empty()) return {};
  std::ifstream file(path_, std::ios::binary);
  if (!file) return {};
  std::ostringstream text;
  text << file.rdbuf();
  auto read = read_body<RewritesFile>(text.str());
  if (read && read->version == present_version) return std::move(read->rewrites);
  std::error_code ignored;
  std::filesystem::rename(path_, path_ + ".unreadable", ignored);
  log::error("the ledger of rewrites could not be read, and begins anew",
             {{"file", path_}, {"reason", read ? "another version" : read.error().front().msg}});
  return {};
}

Result<> RewriteStore::save(const std::vector<pipeline::RewriteReport>& rewrites) const {
  if (path_.empty()) return {};
  return replace_file(path_, to_json(RewritesFile{.rewrites = rewrites}));
}

}  // namespace millrace::http
