#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "catalog/snapshot.hpp"
#include "pipeline/cacheability.hpp"
#include "pipeline/scope.hpp"
#include "sql/statement.hpp"

namespace millrace::pipeline {

using StatementPtr = std::shared_ptr<const sql::Statement>;

/// What a statement is for the cache, to sessions of one scope.
struct Judgement {
  Cacheable read;
  std::optional<std::vector<catalog::Oid>> changes;  ///< tables; null: anything
  bool lacks_relations = false;                      ///< see `lacks_only_relations`
  bool changes_nothing = false;                      ///< see `pipeline::changes_nothing`
  std::vector<std::string> search_path;              ///< under which that is so
  MeantByNames meant = {};
};

/// Remembers what was found of statements, as long as the catalogs are as they were. Not thread-safe: one a core.
class Judgements {
 public:
  const Judgement& of(const StatementPtr& statement, const Scope& scope, const catalog::Snapshot& catalog);

  /// How often each reason was given; by its code. Taken by asking.
  std::map<std::string, std::uint64_t, std::less<>> take_refusals() { return std::exchange(refusals_, {}); }
  void count_refusal(std::string_view code);

 private:
  struct Known {
    StatementPtr statement;  ///< so that no other has its address
    std::uint64_t version = 0;
    Judgement judgement;
  };
  boost::unordered_flat_map<std::pair<const sql::Statement*, std::uint32_t>, std::unique_ptr<Known>> known_;
  std::map<std::string, std::uint64_t, std::less<>> refusals_;
};

/// Of a session of this scope, its schemas in their order. Null: not known.
std::optional<std::vector<std::string>> search_path_of(const Scope& scope, const catalog::Snapshot& catalog);

}  // namespace millrace::pipeline
