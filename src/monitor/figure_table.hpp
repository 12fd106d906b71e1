#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "monitor/compact_histogram.hpp"
#include "monitor/query_figures.hpp"

namespace millrace {

/// Figures by 64-bit keys, of about a second: what one thread counts, and hands to another that empties it. Bounded:
/// what finds no room counts as `other`. Allocates while it grows only: emptied, it keeps its memory. Not thread-safe.
///
/// A histogram is cut into octaves of 32 buckets, of which a key has those that its durations fall into: mostly a few.
class FigureTable {
 public:
  static constexpr std::uint16_t other = 0;  ///< the place of all that found no room
  static constexpr std::size_t octaves = LogLinear::buckets >> LogLinear::sub_bits;
  static constexpr std::size_t most = 1536;  ///< keys; so that each of their octaves has a number of 16 bits

  /// For so many keys, at most `most`.
  explicit FigureTable(std::size_t keys);

  struct Place {
    std::uint16_t at;
    bool is_new;  ///< the key wasn't there
  };
  Place place_of(std::uint64_t key);
  void add(std::uint16_t at, const QueryRecord& query);

  struct Cell {
    std::uint64_t key;
    QueryFigures figures;
    std::array<std::uint16_t, octaves> at;  ///< for `counts_of`, by octave; 0: no duration falls into it
  };
  /// `other` first, then the keys in the order that they came in.
  std::span<const Cell> cells() const { return cells_; }
  CompactHistogram durations(const Cell& cell) const;

  /// All is zero, and these keys are there already.
  void clear(std::span<const std::uint64_t> keys);

  std::size_t memory_bytes() const;

 private:
  using Octave = std::array<std::uint32_t, std::size_t{1} << LogLinear::sub_bits>;
  static constexpr std::size_t block_octaves = 256;
  using Block = std::array<Octave, block_octaves>;

  std::uint16_t new_octave();
  Octave& counts_of(std::size_t octave) { return (*blocks_[octave / block_octaves])[octave % block_octaves]; }
  const Octave& counts_of(std::size_t octave) const {
    return (*blocks_[octave / block_octaves])[octave % block_octaves];
  }

  std::size_t keys_;
  std::vector<Cell> cells_;
  /// Grows block by block: nothing that is there moves, so growing takes no longer where there is much.
  std::vector<std::unique_ptr<Block>> blocks_;
  std::size_t octaves_used_ = 0;
  boost::unordered_flat_map<std::uint64_t, std::uint16_t> places_;
};

}  // namespace millrace
