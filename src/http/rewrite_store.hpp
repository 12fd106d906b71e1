#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "http/kept_file.hpp"
#include "pipeline/rewrites.hpp"

namespace millrace::http {

/// The file in which the ledger of rewrites survives a restart: JSON.
class RewriteStore {
 public:
  /// Without a folder nothing is kept.
  explicit RewriteStore(std::string folder);

  /// What was kept, or nothing. What can't be read is set aside: see `KeptFile`.
  std::vector<pipeline::RewriteReport> load();

  Result<> save(const std::vector<pipeline::RewriteReport>& rewrites) const;

 private:
  KeptFile file_;
};

}  // namespace millrace::http
