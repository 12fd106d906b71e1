#include "monitor/subjects.hpp"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr double half_life_ns = 600e9;
// What comes again outweighs what came once, if that isn't as much heavier.
constexpr double weight_of_again = 8;
constexpr SubjectId ids_between = 8;  ///< of one kind
constexpr std::size_t most_remembered = 8192;

std::size_t bytes_of(const TemplateText& about) {
  std::size_t bytes = sizeof(TemplateText) + about.text.capacity() + about.user.capacity() + about.database.capacity() +
                      about.parameters.capacity() * sizeof(ParameterTexts::value_type);
  for (const auto& parameter : about.parameters) bytes += parameter ? parameter->capacity() : 0;
  return bytes;
}

}  // namespace

Subjects::Subjects(SubjectKind kind, std::size_t most) : most_(most), other_{.id = other_of(kind)} {}

SubjectId Subjects::find(std::uint64_t key) const {
  const auto found = ids_.find(key);
  return found == ids_.end() ? other_.id : found->second;
}

/// A millisecond counts as much as a call.
double Subjects::use_of(const QueryFigures& figures) {
  return static_cast<double>(figures.calls) + static_cast<double>(figures.total_ns) / 1e6;
}

std::size_t Subjects::least_used() const {
  const auto least = std::ranges::min_element(subjects_, {}, &Subject::use);
  return static_cast<std::size_t>(least - subjects_.begin());
}

bool Subjects::has_place_for(std::uint64_t key, const QueryFigures& figures) const {
  if (subjects_.size() < most_) return true;
  const double use = use_of(figures) * (is_remembered(key) ? weight_of_again : 1);
  return most_ > 0 && use > subjects_[least_used()].use;
}

void Subjects::remember(std::uint64_t key) {
  if (without_place_.size() == most_remembered) {
    before_ = std::move(without_place_);
    without_place_ = {};
  }
  without_place_.insert(key);
}

SubjectId Subjects::add(std::uint64_t key, SubjectName name) {
  const SubjectId id = next_++ * ids_between + other_.id;
  std::size_t at = subjects_.size();
  if (at < most_) {
    subjects_.emplace_back();
  } else {
    at = least_used();
    Subject& gone = subjects_[at];
    other_ += gone.total;
    ids_.erase(gone.key);
    remember(gone.key);
    at_.erase(gone.total.id);
    ++evicted_;
  }
  subjects_[at] = {.key = key, .name = std::move(name), .total = {.id = id}, .came_again = is_remembered(key)};
  ids_.emplace(key, id);
  at_.emplace(id, at);
  return id;
}

void Subjects::count(SubjectId id, const QueryFigures& figures, const CompactHistogram& durations) {
  const auto found = at_.find(id);
  SubjectFigures& total = found == at_.end() ? other_ : subjects_[found->second].total;
  total.figures += figures;
  total.durations += durations;
  if (found == at_.end()) return;
  Subject& subject = subjects_[found->second];
  const double use = use_of(figures);
  subject.use += subject.came_again ? use * weight_of_again : use;
}

void Subjects::age(std::int64_t ns) {
  const double left = std::exp2(-static_cast<double>(ns) / half_life_ns);
  for (Subject& subject : subjects_) {
    subject.use *= left;
    subject.came_again = true;
  }
}

const SubjectName* Subjects::name_of(SubjectId id) const {
  const auto found = at_.find(id);
  return found == at_.end() ? nullptr : &subjects_[found->second].name;
}

const SubjectFigures* Subjects::total_of(SubjectId id) const {
  const auto found = at_.find(id);
  return found == at_.end() ? nullptr : &subjects_[found->second].total;
}

std::vector<SubjectFigures> Subjects::totals() const {
  std::vector<SubjectFigures> all = {other_};
  all.reserve(subjects_.size() + 1);
  for (const Subject& subject : subjects_) all.push_back(subject.total);
  return all;
}

void Subjects::want_name(std::uint64_t key) {
  if (const SubjectId id = find(key); !is_other(id)) subjects_[at_.at(id)].is_name_wanted = true;
}

std::vector<std::uint64_t> Subjects::named_keys() const {
  std::vector<std::uint64_t> all;
  all.reserve(subjects_.size());
  for (const Subject& subject : subjects_) {
    if (!subject.is_name_wanted) all.push_back(subject.key);
  }
  return all;
}

std::size_t Subjects::memory_bytes() const {
  std::size_t bytes = subjects_.capacity() * sizeof(Subject) + ids_.bucket_count() * (sizeof(std::uint64_t) * 2 + 1) +
                      at_.bucket_count() * (sizeof(std::size_t) * 2 + 1) + other_.durations.heap_bytes() +
                      (without_place_.bucket_count() + before_.bucket_count()) * (sizeof(std::uint64_t) + 1);
  for (const Subject& subject : subjects_) {
    bytes += subject.name.name.capacity() + subject.total.durations.heap_bytes();
    if (const auto& about = subject.name.about) bytes += bytes_of(*about);
  }
  return bytes;
}

}  // namespace millrace
