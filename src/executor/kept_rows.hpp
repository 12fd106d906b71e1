#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::executor {

/// Bytes that all jobs together may keep. Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t most) : most_(most) {}

  bool try_take(std::size_t bytes) {
    if (held_.fetch_add(bytes, std::memory_order::relaxed) + bytes <= most_) return true;
    give(bytes);
    return false;
  }
  /// What is there already counts, whether there is room or not.
  void take(std::size_t bytes) { held_.fetch_add(bytes, std::memory_order::relaxed); }
  void give(std::size_t bytes) { held_.fetch_sub(bytes, std::memory_order::relaxed); }
  std::size_t held() const { return held_.load(std::memory_order::relaxed); }

 private:
  const std::size_t most_;
  std::atomic<std::size_t> held_ = 0;
};

/// The rows of a result, in the order in which they came. One thread adds; others may ask for the counts meanwhile, and
/// read once nothing is added any more.
class KeptRows {
 public:
  using Value = std::optional<std::string_view>;

  /// `most`: bytes of this result.
  KeptRows(std::shared_ptr<ByteBudget> budget, std::size_t most) : budget_(std::move(budget)), most_(most) {}
  KeptRows(const KeptRows&) = delete;
  KeptRows& operator=(const KeptRows&) = delete;
  ~KeptRows() { budget_->give(bytes()); }

  /// All rows have as many values. False: there is no room for it.
  bool add(std::span<const Value> row);
  /// The bytes of some rows, as one of `blocks` holds them. False: there is no room, or they aren't rows.
  bool add_block(std::string bytes);

  std::uint64_t rows() const { return rows_.load(std::memory_order::relaxed); }
  std::size_t bytes() const { return bytes_.load(std::memory_order::relaxed); }
  /// Whether it is this result that is too large, not all together.
  bool is_at_its_limit(std::span<const Value> row) const { return bytes() + size_of(row) > most_; }

  /// Reads on from a row.
  class Reader {
   public:
    Reader(const KeptRows& kept, std::uint64_t from);
    /// The next row's values, valid as long as the rows are kept. False: there are no more.
    bool next(std::vector<Value>& row);

   private:
    const KeptRows& kept_;
    std::size_t block_ = 0;
    std::string_view rest_;  ///< of the block
  };

  /// Each row is its size, then each value's size and bytes.
  struct Block {
    std::uint64_t first = 0;  ///< the number of its first row
    std::string bytes;
  };
  /// All of it, once nothing is added any more.
  std::span<const Block> blocks() const { return blocks_; }

 private:
  static std::size_t size_of(std::span<const Value> row);

  const std::shared_ptr<ByteBudget> budget_;
  const std::size_t most_;
  std::vector<Block> blocks_;
  std::atomic<std::uint64_t> rows_ = 0;
  std::atomic<std::size_t> bytes_ = 0;
};

}  // namespace millrace::executor
