#include "cache/entry.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace millrace::cache {

namespace {

constexpr std::size_t chunk_header = sizeof(std::size_t);  // what malloc keeps beside what it gives

std::int64_t later(std::int64_t now, std::int64_t duration) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(now, duration, &sum)) {
    return duration > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
  }
  return sum;
}

char* append(char* to, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

}  // namespace

Entry* Entry::make(const NewEntry& made, std::shared_ptr<Ledger> ledger) {
  std::size_t before_key = made.seen.size() * sizeof(Seen);
  for (const auto& tag : made.tags) before_key += sizeof(std::uint32_t) + tag.size();
  const std::size_t bytes = sizeof(Entry) + before_key + made.key.size() + made.head.size() + made.body.size();
  if (bytes > std::numeric_limits<std::uint32_t>::max()) return nullptr;
  void* block = std::malloc(bytes);
  if (!block) return nullptr;
  auto* entry = new (block) Entry;
  entry->PolicyNode::hash = made.hash;
  entry->PolicyNode::bytes = malloc_usable_size(block) + chunk_header;
  entry->PolicyNode::cost = static_cast<double>(std::max<std::int64_t>(made.cost_ns, 1));
  entry->seen_count_ = static_cast<std::uint32_t>(made.seen.size());
  entry->tag_count_ = static_cast<std::uint32_t>(made.tags.size());
  entry->key_at_ = static_cast<std::uint32_t>(before_key);
  entry->key_size_ = static_cast<std::uint32_t>(made.key.size());
  entry->head_size_ = static_cast<std::uint32_t>(made.head.size());
  entry->body_size_ = static_cast<std::uint32_t>(made.body.size());
  entry->rows_ = made.rows;
  entry->fingerprint_ = made.fingerprint;
  entry->columns_ = made.columns;
  entry->meant_ = made.meant;
  entry->follows_ = made.follows;
  entry->stored_ns_ = made.now_ns;
  entry->expires_ns_ = later(made.now_ns, made.ttl_ns);
  entry->cost_ns_ = made.cost_ns;
  entry->owner_ = made.owner;
  char* at = entry->text();
  at = append(at, {reinterpret_cast<const char*>(made.seen.data()), made.seen.size() * sizeof(Seen)});
  for (const auto& tag : made.tags) {
    const auto size = static_cast<std::uint32_t>(tag.size());
    at = append(at, {reinterpret_cast<const char*>(&size), sizeof size});
    at = append(at, tag);
  }
  append(append(append(at, made.key), made.head), made.body);
  ledger->bytes.fetch_add(entry->memory_bytes(), std::memory_order_relaxed);
  entry->ledger_ = std::move(ledger);
  return entry;
}

void Entry::destroy() const {
  ledger_->bytes.fetch_sub(memory_bytes(), std::memory_order_relaxed);
  auto* entry = const_cast<Entry*>(this);
  entry->~Entry();
  std::free(entry);
}

template <typename Visit>
void Entry::each_tag(Visit visit) const {
  const char* at = text() + seen_count_ * sizeof(Seen);
  for (std::uint32_t i = 0; i < tag_count_; ++i) {
    std::uint32_t size = 0;
    std::memcpy(&size, at, sizeof size);
    at += sizeof size;
    visit(std::string_view(at, size));
    at += size;
  }
}

std::vector<std::string_view> Entry::tags() const {
  std::vector<std::string_view> found;
  found.reserve(tag_count_);
  each_tag([&](std::string_view tag) { found.push_back(tag); });
  return found;
}

bool Entry::has_tag(std::string_view tag) const {
  bool found = false;
  each_tag([&](std::string_view one) { found = found || one == tag; });
  return found;
}

}  // namespace millrace::cache
