#include "executor/kept_rows.hpp"

#include <algorithm>
#include <cstring>

namespace millrace::executor {
namespace {

using Size = std::uint32_t;
constexpr Size null_size = ~Size{0};
/// A block is full with so many bytes.
constexpr std::size_t full_block = std::size_t{64} << 10;

void append(std::string& to, Size size) {
  to.append(reinterpret_cast<const char*>(&size), sizeof size);  // NOLINT: its bytes
}

Size take_size(std::string_view& from) {
  Size size = 0;
  std::memcpy(&size, from.data(), sizeof size);
  from.remove_prefix(sizeof size);
  return size;
}

std::string_view take(std::string_view& from, std::size_t size) {
  const auto taken = from.substr(0, size);
  from.remove_prefix(size);
  return taken;
}

/// How many rows these bytes are. Null: something else.
std::optional<std::uint64_t> count_rows(std::string_view bytes) {
  std::uint64_t rows = 0;
  for (; !bytes.empty(); ++rows) {
    if (bytes.size() < sizeof(Size)) return std::nullopt;
    const Size size = take_size(bytes);
    if (bytes.size() < size) return std::nullopt;
    for (auto values = take(bytes, size); !values.empty();) {
      if (values.size() < sizeof(Size)) return std::nullopt;
      const Size length = take_size(values);
      if (length == null_size) continue;
      if (values.size() < length) return std::nullopt;
      take(values, length);
    }
  }
  return rows;
}

}  // namespace

std::size_t KeptRows::size_of(std::span<const Value> row) {
  std::size_t size = sizeof(Size);
  for (const auto& value : row) size += sizeof(Size) + (value ? value->size() : 0);
  return size;
}

bool KeptRows::add(std::span<const Value> row) {
  const std::size_t size = size_of(row);
  if (is_at_its_limit(row) || !budget_->try_take(size)) return false;
  if (blocks_.empty() || blocks_.back().bytes.size() >= full_block) blocks_.push_back({.first = rows(), .bytes = {}});
  std::string& bytes = blocks_.back().bytes;
  append(bytes, static_cast<Size>(size - sizeof(Size)));
  for (const auto& value : row) {
    append(bytes, value ? static_cast<Size>(value->size()) : null_size);
    if (value) bytes.append(*value);
  }
  bytes_.fetch_add(size, std::memory_order::relaxed);
  rows_.fetch_add(1, std::memory_order::relaxed);
  return true;
}

bool KeptRows::add_block(std::string bytes) {
  const auto count = count_rows(bytes);
  const std::size_t size = bytes.size();
  if (!count || this->bytes() + size > most_ || !budget_->try_take(size)) return false;
  if (*count > 0) blocks_.push_back({.first = rows(), .bytes = std::move(bytes)});
  bytes_.fetch_add(size, std::memory_order::relaxed);
  rows_.fetch_add(*count, std::memory_order::relaxed);
  return true;
}

KeptRows::Reader::Reader(const KeptRows& kept, std::uint64_t from) : kept_(kept) {
  const auto& blocks = kept.blocks_;
  const auto after = std::ranges::upper_bound(blocks, from, {}, &Block::first);
  if (after == blocks.begin() || from >= kept.rows()) {
    block_ = blocks.size();
    return;
  }
  block_ = static_cast<std::size_t>(after - blocks.begin()) - 1;
  rest_ = blocks[block_].bytes;
  for (std::uint64_t at = blocks[block_].first; at < from; ++at) take(rest_, take_size(rest_));
}

bool KeptRows::Reader::next(std::vector<Value>& row) {
  const auto& blocks = kept_.blocks_;
  row.clear();
  if (rest_.empty()) {
    if (block_ < blocks.size()) ++block_;
    if (block_ >= blocks.size()) return false;
    rest_ = blocks[block_].bytes;
  }
  const Size size = take_size(rest_);
  for (auto values = take(rest_, size); !values.empty();) {
    const Size length = take_size(values);
    row.push_back(length == null_size ? std::nullopt : Value(take(values, length)));
  }
  return true;
}

}  // namespace millrace::executor
