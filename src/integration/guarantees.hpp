#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <optional>
#include <string>
#include <vector>

#include "integration/server_facts.hpp"

/// Which levels of consistency a server lets Millrace meet, what is in the way, and the statements that mend it.
/// Functions of the facts alone.
namespace millrace::integration {

enum class CheckStatus {
  ok,
  warning,  ///< nothing that was asked for needs it
  missing,
};
BOOST_DESCRIBE_ENUM(CheckStatus, ok, warning, missing)

struct Remedy {
  std::string statement;
  std::string then = {};  ///< what else it takes, in words; may be empty
};
BOOST_DESCRIBE_STRUCT(Remedy, (), (statement, then))

struct Check {
  std::string name;
  CheckStatus status = CheckStatus::ok;
  std::string meaning;
  std::vector<Remedy> remedies = {};
};
BOOST_DESCRIBE_STRUCT(Check, (), (name, status, meaning, remedies))

/// Of how many tables, materialized views included, reads can be answered from memory with a level.
struct Guarantee {
  std::string level;
  bool can_be_met = false;  ///< for all tables whose rows may be answered from memory at all
  std::uint64_t tables = 0;
  std::uint64_t all_tables = 0;
  std::string meaning;
};
BOOST_DESCRIBE_STRUCT(Guarantee, (), (level, can_be_met, tables, all_tables, meaning))

struct Seen {
  ServerFacts server;
  Rights publications;
  std::vector<IsolationSetting> isolation = {};
  TableCounts tables;
  std::vector<TableProblem> problems = {};
  /// Why a replication connection can't be had; empty: it can. Null: that wasn't tried, as the role may not.
  std::optional<std::string> replication_refused = {};
};

struct Judgement {
  std::vector<Check> checks;
  std::vector<Guarantee> guarantees;
  bool all_met = false;  ///< no check says `missing`
};
/// What Millrace's own settings say.
struct Asked {
  bool needs_stream = true;  ///< the level takes the change stream; what that lacks is a warning otherwise
  bool stream_enabled = true;
};
Judgement judge(const Seen& seen, const Asked& asked);

}  // namespace millrace::integration
