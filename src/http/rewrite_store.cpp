#include "http/rewrite_store.hpp"

#include <utility>

#include "http/json_read.hpp"
#include "http/json_write.hpp"

namespace millrace::http {
namespace {

constexpr int present_version = 1;

struct RewritesFile {
  int version = present_version;
  std::vector<pipeline::RewriteReport> rewrites;
};
BOOST_DESCRIBE_STRUCT(RewritesFile, (), (version, rewrites))

}  // namespace

RewriteStore::RewriteStore(std::string folder)
    : file_(folder.empty() ? "" : std::move(folder) + "/rewrites.json", "the ledger of rewrites") {}

std::vector<pipeline::RewriteReport> RewriteStore::load() {
  const auto text = file_.read();
  if (!text) return {};
  auto read = read_body<RewritesFile>(*text);
  if (read && read->version == present_version) return std::move(read->rewrites);
  file_.set_aside(read ? "another version" : read.error().front().msg);
  return {};
}

Result<> RewriteStore::save(const std::vector<pipeline::RewriteReport>& rewrites) const {
  return file_.replace(to_json(RewritesFile{.rewrites = rewrites}));
}

}  // namespace millrace::http
