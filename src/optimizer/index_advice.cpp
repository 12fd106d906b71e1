#include "optimizer/index_advice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <ranges>
#include <set>

#include "base/clock.hpp"
#include "optimizer/identifier.hpp"
#include "optimizer/index_advisor.hpp"
#include "optimizer/index_candidates.hpp"
#include "optimizer/index_estimate.hpp"

namespace millrace::optimizer {
namespace {

constexpr std::size_t most_statements = 200, most_in_all = 400, most_warnings = 5, most_reasons = 10;
constexpr double few_rows = 1000;  // a table that small is read whole as fast
constexpr double margin = 0.005;   // of what the whole takes
constexpr double noticed = 0.01;   // of what a statement costs
constexpr double day = 86400, hour = 3600, page = 8192;

struct Looked {
  const WorkloadStatement* given = nullptr;
  StatementIndexes found = {};
  StatementToPlan to_plan = {};
  PlanNode plan = {};
};

bool has_all(const std::vector<std::string>& all, const std::vector<std::string>& some) {
  return std::ranges::all_of(some, [&](const auto& one) { return std::ranges::find(all, one) != all.end(); });
}

std::vector<std::string> all_columns(const std::vector<std::string>& keys, const std::vector<std::string>& include) {
  auto all = keys;
  all.insert(all.end(), include.begin(), include.end());
  return all;
}

/// What is there serves as well, but for how small a new index is.
bool is_there(const IndexCandidate& index, const ExistingIndex& existing) {
  if (existing.schema != index.schema || existing.table != index.table || !existing.valid || existing.method != "btree")
    return false;
  if (!existing.where.empty() && existing.where != index.where) return false;
  return begins_with(existing.keys, index.columns) &&
         has_all(all_columns(existing.keys, existing.include), index.include);
}

bool replaces(const IndexCandidate& longer, const IndexCandidate& index) {
  return longer.schema == index.schema && longer.table == index.table && longer.where == index.where &&
         begins_with(longer.columns, index.columns) &&
         has_all(all_columns(longer.columns, longer.include), index.include);
}

class Advice {
 public:
  Advice(const AdviceRequest& request, const catalog::Snapshot& snapshot, WhatIf& server)
      : request_(request), snapshot_(snapshot), server_(server), latest_(Clock::now() + request.patience) {}

  Result<IndexAdvice> give() {
    look_at_workload();
    auto facts = server_.facts(tables_in_question());
    if (!facts) return std::unexpected(std::move(facts).error());
    facts_ = *std::move(facts);
    advice_.measured = server_.measures();
    advice_.findings = index_findings(facts_);
    collect_candidates();
    plan_as_it_is();
    size_candidates();
    choose();
    warn();
    return std::move(advice_);
  }

 private:
  bool is_late() const { return Clock::now() >= latest_; }

  void look_at_workload() {
    for (const auto& given : request_.workload) {
      if (looked_.size() >= most_statements) break;
      auto found = candidates_of(given.text, snapshot_, request_.session);
      if (!found) {
        ++not_understood_;
        continue;
      }
      if (found->uses.empty() && found->writes.empty()) continue;
      looked_.push_back(
          {.given = &given,
           .found = *std::move(found),
           .to_plan = {
               .number = looked_.size(), .text = given.text, .user = given.user, .parameters = given.parameters}});
    }
  }

  std::vector<std::pair<std::string, std::string>> tables_in_question() const {
    std::set<std::pair<std::string, std::string>> tables;
    for (const auto& one : looked_) {
      for (const auto& index : one.found.candidates) tables.emplace(index.schema, index.table);
    }
    return {tables.begin(), tables.end()};
  }

  void collect_candidates() {
    for (const auto& one : looked_) {
      for (const auto& index : one.found.candidates) {
        const auto known = std::ranges::find(candidates_, index);
        if (known != candidates_.end()) {
          users_[static_cast<std::size_t>(known - candidates_.begin())].insert(one.given->user);
          continue;
        }
        if (candidates_.size() >= most_in_all) continue;
        const auto* table = facts_.find(index.schema, index.table);
        if (table == nullptr || (table->rows >= 0 && table->rows < few_rows)) continue;
        if (table->rows < 0) never_analysed_.insert(index.schema + "." + index.table);
        const auto there = [&](const ExistingIndex& existing) { return is_there(index, existing); };
        if (std::ranges::any_of(facts_.indexes, there)) continue;
        candidates_.push_back(index);
        users_.push_back({one.given->user});
      }
    }
  }

  bool may_serve(std::size_t candidate, const Looked& one) const {
    const auto& index = candidates_[candidate];
    const auto is_expression = [](const std::string& key) { return key.contains('('); };
    if (std::ranges::any_of(index.columns, is_expression) && !users_[candidate].contains(one.given->user)) return false;
    return std::ranges::any_of(one.found.uses, [&](const TableUse& use) {
      return use.schema == index.schema && use.table == index.table && use.asks_of(index.columns.front()) &&
             (index.where.empty() || std::ranges::find(use.predicates, index.where) != use.predicates.end());
    });
  }

  /// Keeps those that the server plans.
  void plan_as_it_is() {
    std::vector<Looked> planned;
    for (auto& one : looked_) {
      const auto all = std::views::iota(0UZ, candidates_.size());
      const bool matters = std::ranges::any_of(all, [&](std::size_t candidate) { return may_serve(candidate, one); });
      if (!matters) {
        if (!one.found.writes.empty()) writers_.push_back(std::move(one));
        continue;
      }
      if (is_late()) {
        advice_.out_of_time = true;
        break;
      }
      ++advice_.plans;
      auto plan = server_.plan(one.to_plan, {});
      if (!plan) {
        auto& [count, why] = not_planned_[plan.error().sqlstate];
        if (++count == 1) why = plan.error().message;
        if (!one.found.writes.empty()) writers_.push_back(std::move(one));
        continue;
      }
      one.plan = *std::move(plan);
      if (!one.found.writes.empty()) writers_.push_back({.given = one.given, .found = {.writes = one.found.writes}});
      planned.push_back(std::move(one));
    }
    looked_ = std::move(planned);
    advice_.statements = looked_.size();
    double milliseconds = 0, cost = 0;
    for (const auto& one : looked_) {
      advice_.executions += one.given->executions;
      milliseconds += one.given->milliseconds;
      cost += one.given->executions * one.plan.total_cost;
    }
    if (milliseconds > 0 && cost > 0) ms_a_unit_ = milliseconds / cost;
  }

  /// Of a statement that it may serve, and that reads its table. Null: none was planned.
  const std::string* asks_about(std::size_t candidate) const {
    const auto& index = candidates_[candidate];
    for (const auto& one : looked_) {
      bool reads = false;
      if (may_serve(candidate, one))
        walk(one.plan, [&](const PlanNode& node, const PlanNode*) {
          reads = reads || (node.schema == index.schema && node.relation == index.table);
        });
      if (reads) return &one.given->user;
    }
    return nullptr;
  }

  double share_of(const IndexCandidate& index, const IndexedTable& table, const std::string& user) {
    if (index.where.empty()) return 1;
    const auto rows = fmt::format("SELECT 1 FROM {}.{} WHERE {}", quoted_identifier(index.schema),
                                  quoted_identifier(index.table), index.where);
    const auto known = shares_.find(rows);
    if (known != shares_.end()) return known->second;
    ++advice_.plans;
    const auto plan =
        server_.plan({.number = most_statements + shares_.size(), .text = rows, .user = user, .parameters = {}}, {});
    const double share = plan && table.rows > 0 ? std::clamp(plan->rows / table.rows, 0.0, 1.0) : 1;
    return shares_[rows] = share;
  }

  void size_candidates() {
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      const auto& index = candidates_[i];
      const auto* table = facts_.find(index.schema, index.table);
      double bytes = estimated_bytes(index, facts_);
      const auto* user = asks_about(i);
      if (user != nullptr && server_.measures() && !is_late()) {
        if (const auto said = server_.bytes_of(index, *user)) bytes = *said;
      }
      const double share = user == nullptr || is_late() ? 1 : share_of(index, *table, *user);
      sizes_.push_back(std::max(page, bytes * share));
      shares_of_.push_back(share);
    }
  }

  /// In the time that is looked at.
  double rows_written(const IndexCandidate& index) const {
    const auto columns = all_columns(index.columns, index.include);
    double seen = 0;
    for (const auto& writer : writers_) {
      for (const auto& write : writer.found.writes) {
        if (write.schema != index.schema || write.table != index.table) continue;
        const auto is_updated = [&](const std::string& key) {
          return std::ranges::any_of(write.updates, [&](const auto& column) {
            return without_direction(key) == column || key.contains("(" + column) || index.where_column == column;
          });
        };
        if (write.updates.empty() || std::ranges::any_of(columns, is_updated)) seen += writer.given->rows;
      }
    }
    const auto* table = facts_.find(index.schema, index.table);
    const double counted = (table->inserts + std::max(0.0, table->updates - table->hot_updates)) * request_.seconds /
                           std::max(facts_.counted_seconds, day);
    return std::max(seen, counted);
  }

  double write_cost(std::size_t candidate) const {
    const auto& index = candidates_[candidate];
    const auto* table = facts_.find(index.schema, index.table);
    return rows_written(index) * shares_of_[candidate] *
           row_write_cost(table->rows, sizes_[candidate], facts_.settings);
  }

  double cost(std::size_t statement, std::span<const std::size_t> with) {
    const auto& one = looked_[statement];
    if (with.empty()) return one.plan.total_cost;
    const auto [known, is_new] = costs_.try_emplace({statement, {with.begin(), with.end()}}, one.plan.total_cost);
    if (!is_new) return known->second;
    std::vector<IndexCandidate> indexes;
    for (const auto each : with) indexes.push_back(candidates_[each]);
    if (!server_.measures()) return known->second = estimated_cost(one.plan, one.found.uses, indexes, facts_);
    ++advice_.plans;
    if (const auto plan = server_.plan(one.to_plan, indexes)) known->second = std::min(known->second, plan->total_cost);
    return known->second;
  }

  double weight(const Looked& one) const {
    if (one.given->milliseconds > 0 && one.plan.total_cost > 0) return one.given->milliseconds / one.plan.total_cost;
    return one.given->executions * ms_a_unit_;
  }

  void choose() {
    AdvisorTask task;
    task.margin = margin;
    for (const auto& one : looked_) {
      AdvisorTask::Statement statement{.weight = weight(one), .cost = one.plan.total_cost};
      for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (may_serve(i, one)) statement.candidates.push_back(i);
      }
      task.statements.push_back(std::move(statement));
    }
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      AdvisorTask::Candidate candidate{.bytes = sizes_[i], .write_cost = write_cost(i) * ms_a_unit_};
      for (std::size_t k = 0; k < candidates_.size(); ++k) {
        if (k != i && replaces(candidates_[i], candidates_[k])) candidate.replaces.push_back(k);
      }
      task.candidates.push_back(std::move(candidate));
    }
    task.budget_bytes = advice_.budget_bytes = budget();
    task.cost = [this](std::size_t statement, std::span<const std::size_t> with) { return cost(statement, with); };
    task.out_of_time = [this] { return is_late(); };
    const auto advised = advise_indexes(task);
    advice_.out_of_time = advice_.out_of_time || advised.out_of_time;
    advice_.bytes = advised.bytes;
    if (advised.cost_before > 0)
      advice_.improvement_percent = 100 * (advised.cost_before - advised.cost_after) / advised.cost_before;
    for (std::size_t i = 0; i < advised.chosen.size(); ++i) {
      const double share = advised.cost_before > 0 ? 100 * advised.gains[i] / advised.cost_before : 0;
      describe(advised, task, advised.chosen[i], share);
    }
  }

  double budget() const {
    if (request_.budget_bytes) return *request_.budget_bytes;
    double bytes = 0;
    for (const auto& table : facts_.tables) bytes += table.bytes;
    return bytes / 2;
  }

  void describe(const Advised& advised, const AdvisorTask& task, std::size_t candidate, double share) {
    const auto& index = candidates_[candidate];
    const auto* table = facts_.find(index.schema, index.table);
    AdvisedIndex said{.index = index,
                      .statement = index.statement(free_name(index)),
                      .bytes = sizes_[candidate],
                      .share_percent = share,
                      .serves = {},
                      .supersedes = {}};
    double with = 0, without = 0, executions = 0;
    for (std::size_t i = 0; i < task.statements.size(); ++i) {
      const auto& of = task.statements[i].candidates;
      if (!std::ranges::binary_search(of, candidate)) continue;
      std::vector<std::size_t> others;
      for (const auto each : advised.chosen) {
        if (each != candidate && std::ranges::binary_search(of, each)) others.push_back(each);
      }
      std::ranges::sort(others);
      const double before = cost(i, others), after = advised.costs[i];
      if (before - after <= noticed * before) continue;
      const auto& given = *looked_[i].given;
      said.serves.push_back({.id = given.id,
                             .shown = given.shown,
                             .executions = given.executions,
                             .cost_before = before,
                             .cost_after = after});
      without += task.statements[i].weight * before;
      with += task.statements[i].weight * after;
      executions += given.executions;
    }
    std::ranges::sort(said.serves, std::ranges::greater(),
                      [](const StatementGain& gain) { return gain.executions * (gain.cost_before - gain.cost_after); });
    if (without > 0) said.improvement_percent = 100 * (without - with) / without;
    const double hours = std::max(request_.seconds, 1.0) / hour;
    said.uses_per_hour = executions / hours;
    said.maintenance_cost = write_cost(candidate) / hours;
    const auto& settings = facts_.settings;
    const double rows = std::max(table->rows, 1.0);
    said.creation_cost =
        table->pages * settings.seq_page_cost + rows * settings.cpu_tuple_cost +
        2 * settings.cpu_operator_cost * rows * shares_of_[candidate] * std::log2(std::max(rows, 2.0)) +
        said.bytes / page * settings.seq_page_cost;
    for (const auto& existing : facts_.indexes) {
      const bool is_its_beginning = existing.schema == index.schema && existing.table == index.table &&
                                    existing.valid && !existing.unique && !existing.needed &&
                                    existing.method == "btree" && existing.where == index.where &&
                                    begins_with(index.columns, existing.keys) &&
                                    has_all(all_columns(index.columns, index.include), existing.include);
      if (is_its_beginning)
        said.supersedes.push_back(quoted_identifier(existing.schema) + "." + quoted_identifier(existing.name));
    }
    advice_.indexes.push_back(std::move(said));
  }

  std::string free_name(const IndexCandidate& index) {
    const auto is_taken = [&](const std::string& name) {
      return names_.contains(name) || snapshot_.find(index.schema, name) != nullptr ||
             std::ranges::any_of(facts_.indexes, [&](const ExistingIndex& existing) {
               return existing.schema == index.schema && existing.name == name;
             });
    };
    const auto first = index.index_name();
    std::string name = first;
    for (int number = 2; is_taken(name); ++number) {
      const auto suffix = fmt::format("_{}", number);
      auto beginning = first;
      while (beginning.size() + suffix.size() > 63) {
        beginning = beginning.substr(0, beginning.size() - 1);
        while (!beginning.empty() && (static_cast<unsigned char>(beginning.back()) & 0x80U) != 0) beginning.pop_back();
      }
      name = beginning + suffix;
    }
    names_.insert(name);
    return name;
  }

  void warn() {
    auto& warnings = advice_.warnings;
    if (!advice_.measured) {
      warnings.emplace_back(
          "sizes and gains are estimated by Millrace: CREATE EXTENSION hypopg (of the package postgresql-15-hypopg) in "
          "this database lets PostgreSQL itself say what each index would bring");
    }
    for (const auto& table : never_analysed_) {
      if (warnings.size() >= most_warnings) break;
      warnings.push_back(table + " has never been analysed, so what is estimated of it is a guess: run ANALYZE");
    }
    for (const auto& [count, why] : std::views::values(not_planned_) | std::views::take(most_reasons)) {
      warnings.push_back(
          fmt::format("{} statements weren't planned, and count for nothing here; the first because: {}", count, why));
    }
    if (not_understood_ != 0)
      warnings.push_back(
          fmt::format("{} statements are too long, or weren't kept whole, to be looked at", not_understood_));
    if (advice_.out_of_time)
      warnings.emplace_back("the time was over before all was compared: there may be better indexes than these");
  }

  const AdviceRequest& request_;
  const catalog::Snapshot& snapshot_;
  WhatIf& server_;
  const TimePoint latest_;
  IndexFacts facts_;
  IndexAdvice advice_;
  std::vector<Looked> looked_, writers_;
  std::vector<IndexCandidate> candidates_;
  std::vector<std::set<std::string>> users_;  ///< of candidates: whose statements they were found in
  std::vector<double> sizes_, shares_of_;     ///< of candidates: in bytes; of the table's rows
  std::map<std::string, double> shares_;      ///< by the query that asks for them
  std::map<std::pair<std::size_t, std::vector<std::size_t>>, double> costs_;
  std::set<std::string> never_analysed_, names_;
  double ms_a_unit_ = 1;
  std::size_t not_understood_ = 0;
  std::map<std::string, std::pair<std::size_t, std::string>> not_planned_;  ///< by SQLSTATE: how many, the first's why
};

}  // namespace

Result<IndexAdvice> advise(const AdviceRequest& request, const catalog::Snapshot& snapshot, WhatIf& server) {
  return Advice(request, snapshot, server).give();
}

}  // namespace millrace::optimizer
