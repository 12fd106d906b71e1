#include "integration/guarantees.hpp"

#include "base/in_quotes.hpp"

namespace millrace::integration {
namespace {

constexpr std::uint64_t oldest_version = 140000;
constexpr std::string_view restart = "restart PostgreSQL", reload = "SELECT pg_reload_conf()";

std::string count_of(std::uint64_t number, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", number, number == 1 ? one : many);
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

class Judge {
 public:
  Judge(const Seen& seen, const Asked& asked) : seen_(seen), server_(seen.server), asked_(asked) {}

  Judgement judge() {
    if (!asked_.stream_enabled) bar("ENABLE_CHANGE_STREAM", "false in Millrace's own settings: set it to true");
    version();
    standby();
    wal_level();
    slots();
    senders();
    replication_role();
    replication_connection();
    publications();
    standby_names();
    tables();
    isolation();
    kept_log();
    guarantees();
    done_.all_met =
        std::ranges::none_of(done_.checks, [](const Check& check) { return check.status == CheckStatus::missing; });
    return std::move(done_);
  }

 private:
  void ok(std::string_view name, std::string meaning) {
    done_.checks.push_back({.name = std::string(name), .status = CheckStatus::ok, .meaning = std::move(meaning)});
  }
  void warn(std::string_view name, std::string meaning, std::vector<Remedy> remedies = {}) {
    done_.checks.push_back({.name = std::string(name),
                            .status = CheckStatus::warning,
                            .meaning = std::move(meaning),
                            .remedies = std::move(remedies)});
  }
  /// What some tables lack.
  void lack(std::string_view name, std::string meaning, std::vector<Remedy> remedies = {}) {
    warn(name, std::move(meaning), std::move(remedies));
    if (asked_.needs_stream) done_.checks.back().status = CheckStatus::missing;
  }
  /// What there can't be a change stream without.
  void bar(std::string_view name, std::string meaning, std::vector<Remedy> remedies = {}) {
    lack(name, std::move(meaning), std::move(remedies));
    bars_.emplace_back(name);
  }

  void version() {
    const auto name = "server version";
    const auto is = "PostgreSQL " + server_.version_name;
    if (server_.version < oldest_version) return bar(name, is + "; the change stream takes PostgreSQL 14 or later");
    if (!forgets_added_tables(server_.version)) return ok(name, is);
    warn(name, is + "; when tables are made while transactions are writing to them the change stream must begin anew: "
                    "update to 14.18, 15.13, 16.9, 17.5 or later");
  }

  void standby() {
    if (server_.is_standby) bar("primary", "the server is a standby, which publishes nothing; connect to the primary");
  }

  void wal_level() {
    const auto name = "wal_level";
    if (server_.wal_level == "logical") return ok(name, "logical: changes can be followed");
    bar(name, server_.wal_level + ", not logical: changes can't be followed",
        {{.statement = "ALTER SYSTEM SET wal_level = logical", .then = std::string(restart)}});
  }

  void slots() { count("replication slots", "max_replication_slots", server_.slots, server_.most_slots); }
  void senders() { count("WAL senders", "max_wal_senders", server_.senders, server_.most_senders); }

  void count(std::string_view name, std::string_view setting, std::uint64_t used, std::uint64_t most) {
    const auto is = fmt::format("{} of {} in use", used, most);
    if (server_.own_slots > 0) return ok(name, is + ", by a Millrace that is running too");
    if (used < most) return ok(name, is);
    bar(name, is + "; the change stream takes one for each Millrace and database",
        {{.statement = fmt::format("ALTER SYSTEM SET {} = {}", setting, std::max<std::uint64_t>(10, most + 5)),
          .then = std::string(restart)}});
  }

  void replication_role() {
    const auto name = "REPLICATION";
    if (server_.may_replicate) return ok(name, "the role " + server_.user + " has it");
    bar(name, "the role " + server_.user + " doesn't have it, so it may not follow changes",
        {{.statement = fmt::format("ALTER ROLE {} REPLICATION", server_.user)}});
  }

  void replication_connection() {
    const auto& refused = seen_.replication_refused;
    if (!refused) return;
    const auto name = "replication connection";
    if (refused->empty()) return ok(name, "was opened, and closed");
    bar(name, "is refused (" + *refused + "): look at pg_hba.conf, and whether a pooler stands in between");
  }

  void publications() {
    const auto name = "publications";
    if (seen_.publications.exist && !seen_.publications.usable) {
      return bar(name, "millrace_changes or millrace_inserts is not as Millrace makes it, or another role's",
                 {{.statement = drop_sql(), .then = "Millrace makes them anew"}});
    }
    if (!server_.may_publish) {
      return bar(name, fmt::format("the role {} may not create any in {}", server_.user, server_.database),
                 {{.statement = fmt::format("GRANT CREATE ON DATABASE {} TO {}", server_.database, server_.user)}});
    }
    ok(name, seen_.publications.exist ? "are there" : "aren't there yet, and may be created");
  }

  void standby_names() {
    const auto name = "synchronous standbys";
    if (!may_be_waited_for(server_.standby_names)) {
      return ok(name, server_.standby_names.empty() ? "none" : "named, and Millrace isn't one of them");
    }
    const auto is = "synchronous_standby_names stands for Millrace's connection too, so commits would wait for it";
    // The standbys that are there now may not be all that there are, and none may be no mistake.
    if (server_.standbys.empty() || server_.standby_names.contains("millrace")) {
      return bar(name, std::string(is) + ": name the standbys in it, without * and millrace");
    }
    bar(name, is,
        {{.statement = "ALTER SYSTEM SET synchronous_standby_names = " +
                       in_quotes(replaced(server_.standby_names, "*", server_.standbys), '\''),
          .then = std::string(reload) + "; they are the standbys that are connected now"}});
  }

  std::vector<Remedy> remedies(TableProblem::Kind kind) const {
    std::vector<Remedy> all;
    for (const auto& problem : seen_.problems) {
      if (problem.kind == kind && !problem.remedy.empty()) all.push_back({.statement = problem.remedy, .then = {}});
    }
    return all;
  }

  void table_problem(TableProblem::Kind kind, std::string_view name, std::string_view meaning, bool lacks) {
    constexpr std::size_t most_named = 3;
    std::string tables;
    std::size_t entries = 0;
    std::uint64_t all = 0, named = 0;
    bool of_superuser = false;
    for (const auto& problem : seen_.problems) {
      if (problem.kind != kind) continue;
      all = problem.all;
      of_superuser |= problem.of_superuser;
      if (++entries > most_named) continue;
      tables.append(tables.empty() ? "" : ", ").append(problem.tables);
      named += problem.number;
    }
    if (all == 0) return;
    if (named < all) tables += ", ...";
    auto text = fmt::format("{}: {} ({})", meaning, count_of(all, "table", "tables"), tables);
    if (of_superuser) {
      text +=
          "; an owner is a superuser, and so could be whoever is given its rights: better give the tables another "
          "owner";
    }
    lacks ? lack(name, std::move(text), remedies(kind)) : warn(name, std::move(text), remedies(kind));
  }

  void tables() {
    using enum TableProblem::Kind;
    if (seen_.tables.tellable == seen_.tables.all) {
      ok("tables", fmt::format("{}, whose changes can all be followed", count_of(seen_.tables.all, "table", "tables")));
      return;
    }
    table_problem(not_owned, "table owners",
                  "the role is neither owner nor member of the owner, so changes can't be followed", true);
    table_problem(no_identity, "replica identities", "no key to tell an UPDATE or DELETE by", true);
    table_problem(unlogged, "unlogged tables", "in no log, so changes can't be followed", false);
    table_problem(materialized_view, "materialized views", "a REFRESH past Millrace isn't noticed", false);
    table_problem(row_security, "row security", "never answered from memory", false);
    table_problem(rules, "rules", "never answered from memory", false);
  }

  void isolation() {
    const auto name = "default isolation";
    const auto is_snapshot = [](std::string_view level) {
      return level == "serializable" || level == "repeatable read";
    };
    std::vector<Remedy> remedies;
    std::string whose;
    for (const auto& setting : seen_.isolation) {
      whose.append(whose.empty() ? "" : ", ").append(setting.whose);
      remedies.push_back({.statement = fmt::format("ALTER {} RESET default_transaction_isolation", setting.whose),
                          .then = "for new connections"});
    }
    if (remedies.empty() && is_snapshot(server_.isolation)) {
      whose = "the server";
      remedies.push_back({.statement = "ALTER SYSTEM SET default_transaction_isolation = 'read committed'",
                          .then = std::string(reload)});
    }
    if (remedies.empty()) return ok(name, server_.isolation);
    warn(name,
         "not read committed (" + whose +
             "), so transactions that don't ask for it are never answered from memory; change it only if the "
             "application doesn't rely on it",
         std::move(remedies));
  }

  void kept_log() {
    const auto name = "max_slot_wal_keep_size";
    if (server_.kept_log_mb >= 0) return ok(name, fmt::format("{} MB", server_.kept_log_mb));
    warn(name, "without a limit: if Millrace hangs, nothing else bounds the log that PostgreSQL keeps for it",
         {{.statement = "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'", .then = std::string(reload)}});
  }

  void guarantees() {
    const auto all = seen_.tables.all, readable = seen_.tables.readable;
    const auto add = [&](std::string_view level, bool met, std::uint64_t tables, std::string meaning) {
      done_.guarantees.push_back({.level = std::string(level),
                                  .can_be_met = met,
                                  .tables = tables,
                                  .all_tables = all,
                                  .meaning = std::move(meaning)});
    };
    const bool follows = bars_.empty();
    const auto followed = follows ? seen_.tables.tellable : 0;
    const auto beside = followed == readable ? "changes made past Millrace are seen within milliseconds"
                        : followed == 0      ? "changes made past Millrace are seen when an answer's time has come"
                                             : "changes made past Millrace are seen within milliseconds where they are "
                                               "followed, else when an answer's time has come";
    add("eventual", true, readable, beside);
    add("bounded", true, readable, "where changes aren't followed, an answer lasts no longer than the bound");
    std::string why;
    for (const auto& bar : bars_) why.append(why.empty() ? "not without: " : ", ").append(bar);
    if (follows && followed < readable) why = "reads of the others run on PostgreSQL";
    for (const auto level : {"session", "read_after_write", "strong"}) {
      add(level, follows && followed == readable, followed, why);
    }
  }

  const Seen& seen_;
  const ServerFacts& server_;
  const Asked asked_;
  Judgement done_;
  std::vector<std::string> bars_;  ///< names of the checks
};

}  // namespace

Judgement judge(const Seen& seen, const Asked& asked) { return Judge(seen, asked).judge(); }

}  // namespace millrace::integration
