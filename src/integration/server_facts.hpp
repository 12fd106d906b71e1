#pragma once

#include <optional>
#include <string>
#include <vector>

#include "integration/publications.hpp"

/// What the guarantees of answers from memory depend on in PostgreSQL, as texts of SQL that only read, and what their
/// answers mean. `guarantees.hpp` judges them.
namespace millrace::integration {

/// Settings, and what the role may do.
struct ServerFacts {
  std::uint64_t version = 0;  ///< 150013 is 15.13
  std::string version_name;
  bool is_standby = false;
  std::string wal_level;
  bool may_replicate = false;
  bool may_publish = false;  ///< create publications, or both are there
  std::string standby_names = {},
              standbys = {};      ///< synchronous_standby_names; those that are connected, quoted, with commas
  std::int64_t kept_log_mb = -1;  ///< max_slot_wal_keep_size; -1: without a limit
  std::uint64_t slots = 0, most_slots = 0, senders = 0, most_senders = 0;
  std::uint64_t own_slots = 0;  ///< of a Millrace, for this database, that is running
  std::string user, database;   ///< quoted where they must be
  std::string isolation;        ///< a new transaction's, for this role in this database
};
std::string facts_sql();
/// Error: 08P01.
Result<ServerFacts> read_facts(const std::vector<ServerRow>& rows);

/// A default_transaction_isolation that lets no answers come from memory, of a role or a database.
struct IsolationSetting {
  std::string whose;  ///< "ROLE app IN DATABASE shop", "DATABASE shop"
  std::string level;
};
std::string isolation_sql();
std::vector<IsolationSetting> read_isolation(const std::vector<ServerRow>& rows);

struct TableCounts {
  std::uint64_t all = 0;       ///< tables and materialized views
  std::uint64_t readable = 0;  ///< of them: whose rows may be answered from memory
  std::uint64_t tellable = 0;  ///< of those: all whose changes can be told
};
std::string table_counts_sql();
/// Error: 08P01.
Result<TableCounts> read_table_counts(const std::vector<ServerRow>& rows);

/// Tables that share a problem and the statement that mends it; a table may have several.
struct TableProblem {
  enum class Kind { not_owned, no_identity, unlogged, materialized_view, row_security, rules };
  Kind kind = Kind::no_identity;
  std::uint64_t all = 0;      ///< tables with this kind of problem, those that aren't listed included
  std::uint64_t number = 0;   ///< tables of this one
  std::string tables = {};    ///< names, the first few
  std::string remedy = {};    ///< empty: there is none
  bool of_superuser = false;  ///< of not_owned: the remedy would let Millrace's role become a superuser
};
/// At most 500 of each kind.
std::string table_problems_sql();
std::vector<TableProblem> read_table_problems(const std::vector<ServerRow>& rows);

}  // namespace millrace::integration
