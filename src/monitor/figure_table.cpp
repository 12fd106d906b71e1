#include "monitor/figure_table.hpp"

#include <cassert>

namespace millrace {

static_assert((FigureTable::most + 1) * FigureTable::octaves < UINT16_MAX);

FigureTable::FigureTable(std::size_t keys) : keys_(keys) {
  assert(keys <= most);
  cells_.reserve(keys + 1);
  places_.reserve(keys);
  blocks_.reserve(((keys + 1) * octaves / block_octaves) + 1);
  clear({});
}

FigureTable::Place FigureTable::place_of(std::uint64_t key) {
  if (const auto found = places_.find(key); found != places_.end()) return {.at = found->second, .is_new = false};
  if (cells_.size() > keys_) return {.at = other, .is_new = false};
  const auto at = static_cast<std::uint16_t>(cells_.size());
  cells_.push_back({.key = key, .figures = {}, .at = {}});
  places_.emplace(key, at);
  return {.at = at, .is_new = true};
}

void FigureTable::add(std::uint16_t at, const QueryRecord& query) {
  Cell& cell = cells_[at];
  cell.figures.add(query);
  const std::size_t bucket = LogLinear::index(not_negative(query.duration_ns));
  std::uint16_t& octave = cell.at[bucket >> LogLinear::sub_bits];
  if (octave == 0) {
    octave = new_octave();
  }
  ++counts_of(octave)[bucket % Octave().size()];
}

std::uint16_t FigureTable::new_octave() {
  if (octaves_used_ == blocks_.size() * block_octaves) blocks_.push_back(std::make_unique<Block>());
  const auto at = static_cast<std::uint16_t>(octaves_used_++);
  counts_of(at) = {};
  return at;
}

CompactHistogram FigureTable::durations(const Cell& cell) const {
  std::vector<BucketCount> found;
  for (std::size_t octave = 0; octave < octaves; ++octave) {
    if (cell.at[octave] == 0) continue;
    const Octave& counts = counts_of(cell.at[octave]);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] == 0) continue;
      found.push_back({.bucket = static_cast<std::uint16_t>((octave << LogLinear::sub_bits) + i), .count = counts[i]});
    }
  }
  return CompactHistogram(found);
}

void FigureTable::clear(std::span<const std::uint64_t> keys) {
  cells_.clear();
  places_.clear();
  octaves_used_ = 0;
  cells_.push_back({.key = 0, .figures = {}, .at = {}});
  new_octave();  // nobody's: a place of 0 says that there is none
  for (const std::uint64_t key : keys) place_of(key);
}

std::size_t FigureTable::memory_bytes() const {
  constexpr std::size_t of_place = sizeof(decltype(places_)::value_type) + 1;
  return cells_.capacity() * sizeof(Cell) + blocks_.size() * sizeof(Block) +
         static_cast<std::size_t>(static_cast<float>(places_.bucket_count()) * of_place);
}

}  // namespace millrace
