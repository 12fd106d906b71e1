#include "optimizer/index_findings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "optimizer/identifier.hpp"

namespace millrace::optimizer {
namespace {

constexpr double often = 1000;  // scans of a table, without which nothing is said of its indexes' use
constexpr std::size_t most_findings = 100;

std::string qualified(const ExistingIndex& index) {
  return quoted_identifier(index.schema) + "." + quoted_identifier(index.name);
}

std::string drop(const ExistingIndex& index) { return "DROP INDEX CONCURRENTLY " + qualified(index); }

std::string size_of(const ExistingIndex& index) {
  const double mb = index.bytes / (1 << 20);
  return mb < 1 ? fmt::format("{:.0f} kB", index.bytes / 1024) : fmt::format("{:.0f} MB", mb);
}

std::string time_text(double seconds) {
  if (seconds >= 2 * 86400) return fmt::format("{:.0f} days", seconds / 86400);
  if (seconds >= 2 * 3600) return fmt::format("{:.0f} hours", seconds / 3600);
  return fmt::format("{:.0f} minutes", std::max(seconds / 60, 1.0));
}

bool is_free(const ExistingIndex& index) { return index.valid && !index.needed && !index.unique; }

bool has_all(const std::vector<std::string>& all, const std::vector<std::string>& some) {
  return std::ranges::all_of(some, [&](const auto& one) { return std::ranges::find(all, one) != all.end(); });
}

bool are_alike(const ExistingIndex& a, const ExistingIndex& b) {
  return a.schema == b.schema && a.table == b.table && a.method == b.method && a.where == b.where && a.valid && b.valid;
}

bool are_equal(const ExistingIndex& a, const ExistingIndex& b) {
  return a.keys == b.keys && has_all(a.include, b.include) && has_all(b.include, a.include);
}

/// Whether whatever `one` is read for, `other` serves too.
bool does_all_of(const ExistingIndex& other, const ExistingIndex& one) {
  auto columns = other.keys;
  columns.insert(columns.end(), other.include.begin(), other.include.end());
  return one.method == "btree" && begins_with(other.keys, one.keys) && has_all(columns, one.include);
}

/// Of two that are equal the one that can go: not one that is needed, then the one that is read less, then the later
/// name.
bool goes_before(const ExistingIndex& a, const ExistingIndex& b) {
  if (is_free(a) != is_free(b)) return is_free(a);
  if (a.scans != b.scans) return a.scans < b.scans;
  return a.name > b.name;
}

class Findings {
 public:
  explicit Findings(const IndexFacts& facts) : facts_(facts), told_(facts.indexes.size()) {}

  std::vector<IndexFinding> all() {
    const auto& indexes = facts_.indexes;
    for (std::size_t i = 0; i < indexes.size(); ++i) {
      if (!indexes[i].valid && !indexes[i].in_work && !indexes[i].needed) add_invalid(i);
    }
    for (std::size_t i = 0; i < indexes.size(); ++i) add_duplicate(i);
    for (std::size_t i = 0; i < indexes.size(); ++i) add_unused(i);
    return std::move(found_);
  }

 private:
  void add(std::size_t at, IndexFinding::Kind kind, std::string sentence, std::vector<std::string> statements) {
    if (told_[at] || found_.size() >= most_findings) return;
    told_[at] = true;
    const auto& index = facts_.indexes[at];
    found_.push_back({.kind = kind,
                      .schema = index.schema,
                      .table = index.table,
                      .index = index.name,
                      .sentence = std::move(sentence),
                      .statements = std::move(statements),
                      .bytes = index.bytes});
  }

  void add_invalid(std::size_t at) {
    const auto& index = facts_.indexes[at];
    // What REINDEX CONCURRENTLY leaves behind where it fails.
    const bool is_left_over = index.name.contains("_ccnew") || index.name.contains("_ccold");
    std::vector<std::string> statements{drop(index)};
    if (!is_left_over) statements.insert(statements.begin(), "REINDEX INDEX CONCURRENTLY " + qualified(index));
    add(at, IndexFinding::Kind::invalid,
        fmt::format(
            "{} isn't valid: its creation was broken off or has failed. No query uses it, and every write of {} "
            "may still have to keep it up to date",
            index.name, index.table),
        std::move(statements));
  }

  void add_duplicate(std::size_t at) {
    const auto& indexes = facts_.indexes;
    const auto& index = indexes[at];
    if (!is_free(index) || told_[at]) return;
    for (std::size_t i = 0; i < indexes.size(); ++i) {
      const auto& other = indexes[i];
      if (i == at || told_[i] || !are_alike(index, other)) continue;
      if (are_equal(index, other)) {
        if (!goes_before(index, other)) continue;
        return add(at, IndexFinding::Kind::duplicate,
                   fmt::format("{} has the same columns as {} ({}): one of them is enough, and {} are free without it",
                               index.name, other.name, fmt::join(other.keys, ", "), size_of(index)),
                   {drop(index)});
      }
      if (does_all_of(other, index)) {
        return add(
            at, IndexFinding::Kind::duplicate,
            fmt::format("{} ({}) is the beginning of {} ({}), which serves the same queries; {} are free without it",
                        index.name, fmt::join(index.keys, ", "), other.name, fmt::join(other.keys, ", "),
                        size_of(index)),
            {drop(index)});
      }
    }
  }

  void add_unused(std::size_t at) {
    const auto& index = facts_.indexes[at];
    const auto* table = facts_.find(index.schema, index.table);
    if (!is_free(index) || index.scans > 0 || table == nullptr || table->scans < often) return;
    add(at, IndexFinding::Kind::unused,
        fmt::format(
            "{} was never read since PostgreSQL's statistics began{}, while {} was read {:.0f} times; it takes {}, "
            "and each new row is written to it. Replicas count for themselves: look there too, and whether "
            "something runs less often than that",
            index.name, facts_.counted_seconds > 0 ? " (" + time_text(facts_.counted_seconds) + " ago at least)" : "",
            index.table, table->scans, size_of(index)),
        {drop(index)});
  }

  const IndexFacts& facts_;
  std::vector<bool> told_;
  std::vector<IndexFinding> found_;
};

}  // namespace

std::vector<IndexFinding> index_findings(const IndexFacts& facts) { return Findings(facts).all(); }

}  // namespace millrace::optimizer
