#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "pipeline/rewrites.hpp"

namespace millrace::http {

/// The file in which the ledger of rewrites survives a restart: JSON.
class RewriteStore {
 public:
  /// Without a folder nothing is kept.
  explicit RewriteStore(std::string folder);

  /// What was kept, or nothing. What can't be read is set aside, with ".unreadable" at its name's end, and said in the
  /// log.
  std::vector<pipeline::RewriteReport> load() const;

  Result<> save(const std::vector<pipeline::RewriteReport>& rewrites) const;

 private:
  std::string path_;
};

}  // namespace millrace::http
