#include "optimizer/plan_findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "optimizer/identifier.hpp"
#include "sql/restrictions.hpp"
#include "sql/statement.hpp"

namespace millrace::optimizer {
namespace {

// What is small is fast whichever way it is read.
constexpr double few_rows = 5'000;
constexpr double selective = 0.1;  ///< an index pays for at most so much of a table
constexpr double many_rows_asked = 100'000;
constexpr std::size_t most_findings = 20;  ///< of a table with a thousand partitions, say

std::string rows_text(double rows) {
  const auto whole = std::llround(std::max(rows, 0.0));
  std::string digits = std::to_string(whole);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return "about " + digits + (whole == 1 ? " row" : " rows");
}

std::string megabytes(double bytes) { return fmt::format("{:.0f} MB", std::max(1.0, bytes / (1 << 20))); }

const TableFacts* find(std::span<const TableFacts> tables, const PlanNode& node) {
  const auto found = std::ranges::find_if(
      tables, [&](const TableFacts& table) { return table.schema == node.schema && table.name == node.relation; });
  return found == tables.end() ? nullptr : &*found;
}

/// The columns of the scanned table that an expression of its plan names; none where it is more than comparisons of
/// columns with values.
std::vector<std::string> columns_in(const PlanNode& scan, std::string_view expression, std::string_view where) {
  const auto statement =
      sql::parse(fmt::format("SELECT 1 FROM t {} {} {}", quoted_identifier(scan.alias), where, expression));
  if (!statement->references || !statement->references->not_known.empty() || !statement->references->functions.empty())
    return {};
  constexpr auto orders = std::to_array<std::string_view>({"=", "<", "<=", ">", ">="});
  const bool compares = std::ranges::all_of(statement->references->operators, [&](const sql::Name& name) {
    return std::ranges::find(orders, name.name) != orders.end();
  });
  return compares ? statement->references->fields : std::vector<std::string>{};
}

class Finder {
 public:
  Finder(std::string_view query, std::span<const TableFacts> tables, double work_mem)
      : asked_(sql::restrictions_of(query)), tables_(tables), work_mem_(work_mem) {}

  void look_at(const PlanNode& node, const PlanNode* parent) {
    if (found_.issues.size() >= most_findings) return;
    if (node.reads_whole_table()) look_at_scan(node);
    if (node.operation.starts_with("Nested Loop")) look_at_loop(node);
    if (node.operation == "Sort") look_at_sort(node, parent);
    if (node.per_row && parent != nullptr) look_at_subquery(node, *parent);
    if (!node.relation.empty()) look_at_statistics(node);
  }

  PlanFindings take() { return std::move(found_); }
  void add_issue(std::string issue) { add(found_.issues, std::move(issue)); }
  void suggest(std::string suggestion) { add(found_.suggestions, std::move(suggestion)); }

 private:
  static void add(std::vector<std::string>& list, std::string what) {
    if (list.size() < most_findings && std::ranges::find(list, what) == list.end()) list.push_back(std::move(what));
  }

  void miss(IndexCandidate index) {
    auto& missing = found_.missing_indexes;
    if (missing.size() >= most_findings || std::ranges::find(missing, index) != missing.end()) return;
    suggest(index.statement());
    missing.push_back(std::move(index));
  }

  /// The columns that the text compares with values by "=", in whichever place it reads the table.
  bool is_compared(const PlanNode& scan, const std::string& column) const {
    return asked_ && std::ranges::any_of(asked_->reads, [&](const sql::Restrictions::Read& read) {
             const bool is_it = read.relation.name == scan.relation &&
                                (read.relation.schema.empty() || read.relation.schema == scan.schema);
             return is_it && std::ranges::any_of(read.predicates,
                                                 [&](const auto& predicate) { return predicate.column == column; });
           });
  }

  void look_at_scan(const PlanNode& scan) {
    const auto* table = find(tables_, scan);
    if (table == nullptr || scan.filter.empty() || table->rows < few_rows || scan.rows > table->rows * selective)
      return;
    const auto what = fmt::format("{} ({}) is read whole to find {} with {}", scan.table(), rows_text(table->rows),
                                  rows_text(scan.rows), scan.filter);
    const auto columns = columns_in(scan, scan.filter, "WHERE");
    const auto leads = std::ranges::find_if(columns, [&](const std::string& column) {
      return std::ranges::any_of(table->indexes, [&](const auto& index) { return index.front() == column; });
    });
    if (leads != columns.end()) {
      return add_issue(
          fmt::format("{}: its index on {} isn't used, as the condition is about something else than the "
                      "column's own value, or is thought to be fulfilled by too many rows",
                      what, *leads));
    }
    // Those that are compared by "=" come first; then one that may be of a range.
    std::vector<std::string> indexed, others;
    for (const auto& column : columns) {
      (is_compared(scan, column) ? indexed : others).push_back(quoted_identifier(column));
    }
    if (others.size() == 1) indexed.push_back(others.front());
    if (indexed.empty()) return add_issue(what + ": no index can serve this as it is written");
    add_issue(what + ": no index begins with any of its columns");
    miss({.schema = scan.schema, .table = scan.relation, .columns = std::move(indexed)});
  }

  void look_at_loop(const PlanNode& loop) {
    if (loop.inputs.size() < 2 || loop.inputs[0].rows < 2) return;
    const PlanNode& inner = loop.inputs[1];
    const auto* table = inner.reads_whole_table() ? find(tables_, inner) : nullptr;
    if (table == nullptr || loop.inputs[0].rows * table->rows < few_rows * few_rows) return;
    add_issue(fmt::format("For each of {}, {} ({}) is read whole", rows_text(loop.inputs[0].rows), inner.table(),
                          rows_text(table->rows)));
  }

  void look_at_subquery(const PlanNode& subquery, const PlanNode& of) {
    // Where rows are left out by it, more than come out of it were asked about.
    const auto* table = of.filter.contains(subquery.subplan) ? find(tables_, of) : nullptr;
    const double times = table != nullptr ? std::max(table->rows, of.rows) : of.rows;
    if (times * subquery.total_cost < few_rows || times < 2) return;
    add_issue(fmt::format("A sub-query ({}) runs once for each of {}, at a cost of {:.1f} each time", subquery.subplan,
                          rows_text(times), subquery.total_cost));
  }

  void look_at_sort(const PlanNode& sort, const PlanNode* parent) {
    if (sort.inputs.size() != 1) return;
    const PlanNode& input = sort.inputs.front();
    if (input.rows < few_rows) return;
    const auto keys = fmt::format("{}", fmt::join(sort.sort_key, ", "));
    const bool only_some = parent != nullptr && parent->operation == "Limit" && parent->rows <= input.rows * selective;
    const double bytes = input.rows * (input.width + 24);  // a tuple's header in memory
    if (only_some) {
      add_issue(fmt::format("{} are sorted by {} for {}", rows_text(input.rows), keys, rows_text(parent->rows)));
    } else if (bytes > work_mem_) {
      add_issue(fmt::format("{} are sorted by {}, about {}: more than work_mem ({}), so it goes to disk",
                            rows_text(input.rows), keys, megabytes(bytes), megabytes(work_mem_)));
    }
    if (only_some && input.reads_whole_table()) look_at_order(sort, input);
  }

  /// An index in the order that is wanted gives the first rows without the others.
  void look_at_order(const PlanNode& sort, const PlanNode& scan) {
    const auto* table = find(tables_, scan);
    if (table == nullptr || !scan.filter.empty()) return;
    std::vector<std::string> columns;
    for (const auto& key : sort.sort_key) {
      const auto column = columns_in(scan, key, "ORDER BY");
      if (column.size() != 1) return;
      columns.push_back(quoted_identifier(column.front()) + (key.ends_with(" DESC") ? " DESC" : ""));
    }
    if (std::ranges::all_of(columns, [](const std::string& column) { return column.ends_with(" DESC"); })) {
      for (auto& column : columns) column.resize(column.size() - std::string_view(" DESC").size());
    }
    miss({.schema = scan.schema, .table = scan.relation, .columns = std::move(columns)});
  }

  void look_at_statistics(const PlanNode& scan) {
    const auto* table = find(tables_, scan);
    if (table == nullptr || table->rows >= 0) return;
    add_issue(scan.table() + " has never been analysed: what is estimated of it is a guess");
    suggest(fmt::format("ANALYZE {}.{}", quoted_identifier(scan.schema), quoted_identifier(scan.relation)));
  }

  const std::optional<sql::Restrictions> asked_;
  const std::span<const TableFacts> tables_;
  const double work_mem_;
  PlanFindings found_;
};

}  // namespace

PlanFindings findings_of(const PlanNode& root, std::string_view query, std::span<const TableFacts> tables,
                         double work_mem_bytes) {
  Finder finder(query, tables, work_mem_bytes);
  walk(root, [&](const PlanNode& node, const PlanNode* parent) { finder.look_at(node, parent); });
  if (root.rows >= many_rows_asked && root.operation != "ModifyTable")
    finder.add_issue(
        fmt::format("{} come back: a LIMIT, or a page at a time by a key, would answer sooner", rows_text(root.rows)));
  return finder.take();
}

}  // namespace millrace::optimizer
