#include "cache/versions.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace millrace::cache {

Dependency Versions::of(std::string_view name) {
  return static_cast<Dependency>(XXH3_64bits(name.data(), name.size()) % count);
}

}  // namespace millrace::cache
