#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "catalog/snapshot.hpp"
#include "sql/statement.hpp"

namespace millrace::pipeline {

/// Whether a read's answer may be kept for others who ask the same.
struct Cacheable {
  std::string why_not;              ///< a sentence without its subject, for people: "calls now(), which is stable"
  std::string code;                 ///< why not, for counting: "function"; of few values. "": it may be kept
  std::vector<catalog::Oid> reads;  ///< tables that it depends on, also those below them; sorted

  bool operator()() const { return code.empty(); }
};

/// What the statement shows by itself, whatever the catalog holds: why not, or nothing yet. So it is of all that
/// `may_only_read` doesn't hold for. Pure; thread-safe.
Cacheable cacheability_by_text(const sql::Statement& statement);

/// The answer depends on nothing but the statement with its parameters, the rows of `reads`, the user, the role, the
/// session's settings, and the snapshot. Whatever isn't known to keep to that is refused.
///
/// `search_path`: of the session, "$user" replaced; the session has no temporary tables. Whoever asks has asked
/// sql::mentions_moments() of the text and of each parameter: a Statement doesn't know its constants. Functions of
/// users are what they are declared to be. Pure; thread-safe.
Cacheable cacheability(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                       std::span<const std::string> search_path);

/// What relations a statement's names stand for.
struct MeantByNames {
  std::uint64_t number = 0;    ///< another one where they stand for others; 0: that isn't known
  bool hides_another = false;  ///< one has a name that another has, too, in a later schema of the search path
};
MeantByNames meant_by_names(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                            std::span<const std::string> search_path);

/// The tables whose rows the statement may change, with those that show them too or follow by foreign keys; sorted.
/// Null: anything may change. What the defaults and constraints of a table's columns call isn't looked at.
std::optional<std::vector<catalog::Oid>> changed_by(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                                                    std::span<const std::string> search_path);

/// Of what `changed_by` says null for: whether it is a read, and nothing but what it reads isn't known: tables that
/// were just made, say. Another catalog may know them.
bool lacks_only_relations(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                          std::span<const std::string> search_path);

/// Whether it is a read that may be run twice: by the tree and the catalog it changes and locks no row, and calls
/// nothing volatile, also in views. In doubt it isn't. As in `changed_by`, functions of users that are declared
/// immutable are, and standard_conforming_strings is on.
bool changes_nothing(const sql::Statement& statement, const catalog::Snapshot& snapshot,
                     std::span<const std::string> search_path);

}  // namespace millrace::pipeline
