#include "cache/versions.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <new>

namespace millrace::cache {

// Fresh pages that are zero already: writing zeros would make them memory.
Versions::Versions() : numbers_(static_cast<std::uint64_t*>(std::calloc(count, sizeof(std::uint64_t)))) {
  if (!numbers_) throw std::bad_alloc();
}

std::uint64_t Versions::hash(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

Dependency Versions::of(std::string_view name) { return static_cast<Dependency>(hash(name) % count); }

}  // namespace millrace::cache
