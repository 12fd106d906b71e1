#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace millrace::cache {

/// Which of the things that a cached answer may depend on: see `Versions`.
using Dependency = std::uint32_t;

/// What an answer depended on, and its version before the answer was asked for.
struct Seen {
  Dependency dependency;
  std::uint64_t version;
};

/// A number for each thing that answers depend on: a table, a tag, a database's catalog. It grows when the thing may
/// have changed; an answer is fresh if none of the numbers that it saw has grown since. Things share numbers where
/// their hashes do: an answer may be taken to be stale though it isn't, never the other way. Thread-safe; takes no
/// lock. Eight mebibytes of address space, of which what is touched is memory.
class Versions {
 public:
  Versions();

  /// Names are "table:DATABASE:OID", "catalog:DATABASE", "database:DATABASE", "tag:NAME", ... The same in every
  /// process.
  static Dependency of(std::string_view name);
  /// Stands for a long text in such a name.
  static std::uint64_t hash(std::string_view text);

  std::uint64_t current(Dependency dependency) const { return number(dependency).load(std::memory_order_acquire); }
  Seen see(Dependency dependency) const { return {dependency, current(dependency)}; }
  bool is_current(const Seen& seen) const { return current(seen.dependency) == seen.version; }
  /// Answers the version that was, so that who counts what became stale by this call can tell.
  std::uint64_t changed(Dependency dependency) { return number(dependency).fetch_add(1, std::memory_order_acq_rel); }

  static constexpr std::size_t count = std::size_t{1} << 20;

 private:
  struct Free {
    void operator()(std::uint64_t* numbers) const { std::free(numbers); }
  };
  std::atomic_ref<std::uint64_t> number(Dependency dependency) const {
    return std::atomic_ref(numbers_[dependency % count]);
  }

  const std::unique_ptr<std::uint64_t[], Free> numbers_;
};

}  // namespace millrace::cache
