#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/snapshot_builder.hpp"

namespace millrace::catalog {

/// What each role's new sessions in one database begin with, by PostgreSQL's order: what is set for the role in the
/// database, for the role, for the database, for all, and by the server's configuration. The last is known from
/// Millrace's own session only as far as none of the others hides it there; what isn't known is no role's default.
class RoleDefaults {
 public:
  /// As pg_settings in Millrace's own session: the value after a RESET, and where it comes from. Whether that is
  /// the server's configuration, and it is one of those asked for.
  bool own(std::string_view name, std::string_view value, std::string_view source);
  void role(Oid oid, std::string name) { roles_.emplace_back(oid, std::move(name)); }
  /// `role` 0: of all; `in_database`: of this one, not of all. `setting`: NAME=VALUE.
  void set(Oid role, bool in_database, std::string_view setting);
  /// Something else decides.
  void not_known() { known_ = false; }

  void give(SnapshotBuilder& to) const;

 private:
  enum Name : std::uint8_t { search_path, isolation, names };
  using Values = std::array<std::optional<std::string>, names>;

  static std::optional<Name> find(std::string_view name);
  std::optional<std::string> value(Oid role, Name name) const;

  bool known_ = true;
  Values server_;
  std::map<std::pair<Oid, bool>, Values> set_;
  std::set<std::pair<Oid, bool>> becomes_another_;  ///< whose sessions begin with SET ROLE
  std::vector<std::pair<Oid, std::string>> roles_;
};

}  // namespace millrace::catalog
