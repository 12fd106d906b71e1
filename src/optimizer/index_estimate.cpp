#include "optimizer/index_estimate.hpp"

#include <algorithm>
#include <cmath>

namespace millrace::optimizer {
namespace {

constexpr double page = 8192, fill = 0.9, tuple_overhead = 12, usual_width = 16;

double width_of(const IndexCandidate& index, std::string_view key, const IndexFacts& facts) {
  const auto found = std::ranges::find_if(facts.widths, [&](const ColumnWidth& one) {
    return one.schema == index.schema && one.table == index.table && one.column == key;
  });
  return found == facts.widths.end() ? usual_width : std::max(found->bytes, 1.0);
}

/// Of a descent to a leaf.
double descent(double rows, double bytes, const PlannerSettings& settings) {
  const double levels = std::max(1.0, std::ceil(std::log(std::max(bytes / page, 2.0)) / std::log(200.0)));
  return std::log2(std::max(rows, 2.0)) * settings.cpu_operator_cost + (levels + 1) * 50 * settings.cpu_operator_cost;
}

class Estimate {
 public:
  Estimate(std::span<const TableUse> uses, std::span<const IndexCandidate> with, const IndexFacts& facts)
      : uses_(uses), with_(with), facts_(facts) {}

  /// What a node and all below it would cost.
  double of(const PlanNode& node) const {
    double below_was = 0, below_is = 0;
    for (const auto& input : node.inputs) {
      below_was += input.total_cost;
      below_is += of(input);
    }
    double cost = std::max(node.total_cost - (below_was - below_is), 0.01 * node.total_cost);
    if (node.reads_whole_table()) cost = std::min(cost, scan(node));
    if (node.operation.contains("Join") || node.operation.starts_with("Nested Loop")) cost = std::min(cost, join(node));
    if (node.operation == "Limit") cost = std::min(cost, first_rows(node));
    return cost;
  }

 private:
  /// Calls `visit(use, index, table)` for each of the table's.
  template <typename Visit>
  void each_index(const PlanNode& scan, Visit visit) const {
    const auto* table = facts_.find(scan.schema, scan.relation);
    if (table == nullptr || table->rows < 1) return;
    for (const auto& use : uses_) {
      if (use.schema != scan.schema || use.table != scan.relation) continue;
      for (const auto& index : with_) {
        if (index.schema == scan.schema && index.table == scan.relation) visit(use, index, *table);
      }
    }
  }

  static bool has(const std::vector<std::string>& keys, const std::string& key) {
    return std::ranges::find(keys, key) != keys.end();
  }

  /// How many of the conditions it finds rows by.
  static double matched(const TableUse& use, const IndexCandidate& index) {
    double count = has(use.predicates, index.where) ? 1 : 0;
    for (const auto& key : index.columns) {
      if (has(use.equals, key)) {
        ++count;
      } else {
        if (has(use.ranges, key)) ++count;
        break;
      }
    }
    return count;
  }

  static double conditions(const TableUse& use) {
    return static_cast<double>(use.equals.size() + use.ranges.size() + use.other_conditions);
  }

  double fetched(double rows, const IndexedTable& table, const IndexCandidate& index) const {
    const auto& settings = facts_.settings;
    const double bytes = estimated_bytes(index, facts_);
    const double leaves = rows / table.rows * bytes / page;
    const double heap = index.include.empty() ? std::min(rows, table.pages) * settings.random_page_cost : 0;
    return descent(table.rows, bytes, settings) + leaves * settings.seq_page_cost + heap +
           rows * (settings.cpu_index_tuple_cost + settings.cpu_tuple_cost + settings.cpu_operator_cost);
  }

  double scan(const PlanNode& node) const {
    double least = node.total_cost;
    each_index(node, [&](const TableUse& use, const IndexCandidate& index, const IndexedTable& table) {
      const double known = matched(use, index), all = std::max(conditions(use), 1.0);
      if (known == 0 || node.filter.empty()) return;
      const double share = std::clamp(node.rows / table.rows, 1 / table.rows, 1.0);
      least = std::min(least, fetched(table.rows * std::pow(share, std::min(known / all, 1.0)), table, index));
    });
    return least;
  }

  /// The table that is read whole below what merely hands its rows on.
  static const PlanNode* scan_below(const PlanNode& node) {
    if (node.reads_whole_table()) return &node;
    const bool hands_on = node.operation == "Hash" || node.operation == "Sort" || node.operation == "Materialize" ||
                          node.operation == "Memoize" || node.operation.starts_with("Gather");
    return hands_on && node.inputs.size() == 1 ? scan_below(node.inputs[0]) : nullptr;
  }

  double join(const PlanNode& node) const {
    double least = node.total_cost;
    if (node.inputs.size() != 2) return least;
    for (const std::size_t inner : {0, 1}) {
      const auto* inside = scan_below(node.inputs[inner]);
      const auto& outside = node.inputs[1 - inner];
      if (inside == nullptr) continue;
      each_index(*inside, [&](const TableUse& use, const IndexCandidate& index, const IndexedTable& table) {
        if (!has(use.joins, index.columns.front()) && !has(use.equals, index.columns.front())) return;
        if (std::ranges::none_of(index.columns, [&](const auto& key) { return has(use.joins, key); })) return;
        const double times = std::max(outside.rows, 1.0);
        const double each = std::clamp(node.rows / times, 1.0, table.rows);
        least = std::min(least, of(outside) + times * fetched(each, table, index));
      });
    }
    return least;
  }

  double first_rows(const PlanNode& limit) const {
    double least = limit.total_cost;
    if (limit.inputs.size() != 1) return least;
    const auto& sort = limit.inputs[0];
    const auto* whole = sort.operation.ends_with("Sort") && sort.inputs.size() == 1 ? scan_below(sort) : nullptr;
    if (whole == nullptr) return least;
    each_index(*whole, [&](const TableUse& use, const IndexCandidate& index, const IndexedTable& table) {
      std::size_t equal = 0;
      while (equal < index.columns.size() && has(use.equals, index.columns[equal])) ++equal;
      const std::vector<std::string> rest(index.columns.begin() + static_cast<std::ptrdiff_t>(equal),
                                          index.columns.end());
      if (use.order.empty() || !begins_with(rest, use.order)) return;
      const double all = conditions(use), known = static_cast<double>(equal);
      const double share = std::clamp(whole->rows / table.rows, 1 / table.rows, 1.0);
      const double unknown = all > known ? std::pow(share, (all - known) / all) : 1;
      least = std::min(least, fetched(std::min(limit.rows / unknown, table.rows), table, index));
    });
    return least;
  }

  const std::span<const TableUse> uses_;
  const std::span<const IndexCandidate> with_;
  const IndexFacts& facts_;
};

}  // namespace

const IndexedTable* IndexFacts::find(std::string_view schema, std::string_view name) const {
  const auto found = std::ranges::find_if(
      tables, [&](const IndexedTable& table) { return table.schema == schema && table.name == name; });
  return found == tables.end() ? nullptr : &*found;
}

double estimated_bytes(const IndexCandidate& index, const IndexFacts& facts) {
  const auto* table = facts.find(index.schema, index.table);
  if (table == nullptr) return page;
  double width = 0;
  for (const auto& key : index.columns) width += width_of(index, without_direction(key), facts);
  for (const auto& key : index.include) width += width_of(index, key, facts);
  const double tuple = tuple_overhead + std::ceil(width / 8) * 8;
  return page * (1 + std::ceil(std::max(table->rows, 0.0) * tuple / (page * fill)));
}

double row_write_cost(double rows, double bytes, const PlannerSettings& settings) {
  return descent(rows, bytes, settings) + settings.cpu_index_tuple_cost + settings.random_page_cost;
}

double estimated_cost(const PlanNode& plan, std::span<const TableUse> uses, std::span<const IndexCandidate> with,
                      const IndexFacts& facts) {
  return std::min(plan.total_cost, Estimate(uses, with, facts).of(plan));
}

}  // namespace millrace::optimizer
