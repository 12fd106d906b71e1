#pragma once

#include <boost/describe/enum.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "monitor/compact_histogram.hpp"
#include "monitor/core_recording.hpp"
#include "monitor/query_figures.hpp"

namespace millrace {

/// What figures are kept by.
enum class SubjectKind : std::uint8_t { query_template, user, database, application, project };
BOOST_DESCRIBE_ENUM(SubjectKind, query_template, user, database, application, project)
inline constexpr std::size_t subject_kinds = 5;

/// A subject's number: it is never given again. Its kind can be told from it; the kinds' `other` are the lowest ones.
using SubjectId = std::uint64_t;
constexpr SubjectKind kind_of(SubjectId id) { return static_cast<SubjectKind>(id % 8); }
constexpr SubjectId other_of(SubjectKind kind) { return static_cast<SubjectId>(kind); }
constexpr bool is_other(SubjectId id) { return id < 8; }

/// Figures of one subject.
struct SubjectFigures {
  SubjectId id = 0;
  QueryFigures figures = {};
  CompactHistogram durations = {};

  SubjectFigures& operator+=(const SubjectFigures& more) {
    figures += more.figures;
    durations += more.durations;
    return *this;
  }
};

/// What a subject is called. Of a template: `about` has the rest.
struct SubjectName {
  std::string name = {};  ///< of a template its normalised text
  std::shared_ptr<const TemplateText> about = {};
};

/// The subjects of one kind: a bounded number; what has no place counts as `other`. Who comes new when all places are
/// taken gets one if it is used more than the least used of those there, which then counts as `other`.
///
/// Use is what it was called and took lately (half of it after ten minutes), where what comes again counts far more
/// than what came once: so a flood of statements that each run once neither takes memory nor displaces the regular
/// ones. Who got no place, or lost it, is remembered for a while, so that it is known when it comes again. Not
/// thread-safe.
class Subjects {
 public:
  Subjects(SubjectKind kind, std::size_t most);

  /// The number of what has this key; `other` if it isn't known.
  SubjectId find(std::uint64_t key) const;

  /// What was recorded of a key in the last second or so. `name()` is asked for if it gets a place now; null: nobody
  /// knows one, and it gets none. Answers whose figures these are.
  template <typename Name>
  SubjectId take(std::uint64_t key, const QueryFigures& figures, const CompactHistogram& durations, Name name) {
    SubjectId id = find(key);
    if (is_other(id)) {
      if (has_place_for(key, figures)) {
        if (auto named = name()) id = add(key, *std::move(named));
      }
      if (is_other(id)) remember(key);
    } else if (Subject& known = subjects_[at_.at(id)]; known.is_name_wanted) {
      if (auto named = name()) {
        known.name = *std::move(named);
        known.is_name_wanted = false;
      }
    }
    count(id, figures, durations);
    return id;
  }

  /// What was recorded of keys that nobody knows. Answers `other`.
  SubjectId take_other(const QueryFigures& figures, const CompactHistogram& durations) {
    count(other_.id, figures, durations);
    return other_.id;
  }

  /// Its name is asked for anew when it is taken next.
  void want_name(std::uint64_t key);

  /// A moment has passed: uses fade.
  void age(std::int64_t ns);

  bool is_known(SubjectId id) const { return is_other(id) || at_.contains(id); }
  const SubjectName* name_of(SubjectId id) const;      ///< null: it isn't known (any more)
  const SubjectFigures* total_of(SubjectId id) const;  ///< since the start; null: as above, or it is `other`
  /// Since the start, of all that are known and of `other`.
  std::vector<SubjectFigures> totals() const;
  /// Calls `visit(id, name, figures since the start)` for each that has a place.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Subject& each : subjects_) visit(each.total.id, each.name, each.total.figures);
  }
  /// Of those whose names are known and wanted as they are.
  std::vector<std::uint64_t> named_keys() const;
  std::size_t size() const { return subjects_.size(); }
  std::uint64_t evicted() const { return evicted_; }
  std::size_t memory_bytes() const;

 private:
  struct Subject {
    std::uint64_t key = 0;
    SubjectName name;
    SubjectFigures total;
    double use = 0;
    bool came_again = false;
    bool is_name_wanted = false;
  };

  static double use_of(const QueryFigures& figures);
  bool has_place_for(std::uint64_t key, const QueryFigures& figures) const;
  bool is_remembered(std::uint64_t key) const { return without_place_.contains(key) || before_.contains(key); }
  void remember(std::uint64_t key);
  SubjectId add(std::uint64_t key, SubjectName name);
  void count(SubjectId id, const QueryFigures& figures, const CompactHistogram& durations);
  std::size_t least_used() const;

  std::size_t most_;
  SubjectId next_ = 1;
  std::vector<Subject> subjects_;
  SubjectFigures other_;
  std::uint64_t evicted_ = 0;
  boost::unordered_flat_map<std::uint64_t, SubjectId> ids_;  ///< by key
  boost::unordered_flat_map<SubjectId, std::size_t> at_;     ///< in `subjects_`
  /// Keys without a place that came lately; when they are many they are those of before, whom they replace.
  boost::unordered_flat_set<std::uint64_t> without_place_, before_;
};

}  // namespace millrace
