#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace millrace::cache {

/// Who is reading the table, so that what was unlinked from it is freed only when no reader can still be looking at it.
/// Readers neither lock nor wait: each counts itself in and out in its thread's stripe.
///
/// Why that is safe. Let a writer unlink an entry (store U), and later load a stripe's count (Z) and find it zero. A
/// reader of that stripe counts itself in (A), loads pointers from the table (P), and counts itself out (D). A, P, U
/// and Z are sequentially consistent, so they are in one order.
///  - If Z reads what D or a later operation wrote: all that write a stripe are read-modify-writes, so Z synchronizes
///    with D, and all that the reader did is done before the writer goes on.
///  - Otherwise Z comes before A (between A and D the count isn't zero), so U is before Z, A and P: the reader's loads
///    see U, and can't find the entry.
/// So after a zero has been seen, once, in each stripe since U, nobody holds the entry but by its reference count,
/// which a reader raised before D. Threads may share a stripe: that costs them time, and nothing else.
class Readers {
  struct alignas(64) Stripe {
    std::atomic<std::uint64_t> word = 0;
    std::array<std::atomic<std::uint64_t>, 3> misses = {};
  };

 public:
  static constexpr std::size_t stripes = 32;
  static_assert(stripes <= 32, "a mask of 32 bits holds them");
  static constexpr std::uint32_t all = static_cast<std::uint32_t>((std::uint64_t{1} << stripes) - 1);

  enum class Outcome : std::uint8_t { hit, absent, expired, stale };

  /// A reader's stay. It says how it came out, which costs no operation of its own for a hit.
  class Stay {
   public:
    explicit Stay(Readers& readers) : stripe_(readers.stripes_[of_thread()]) {
      stripe_.word.fetch_add(1, std::memory_order_seq_cst);
    }
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;
    ~Stay() {
      const std::uint64_t hit = outcome == Outcome::hit ? one_hit : 0;
      if (outcome != Outcome::hit) {
        stripe_.misses[static_cast<std::size_t>(outcome) - 1].fetch_add(1, std::memory_order_relaxed);
      }
      stripe_.word.fetch_add(hit - 1, std::memory_order_release);
    }

    Outcome outcome = Outcome::absent;

   private:
    Stripe& stripe_;
  };

  /// Of the stripes in `mask`, those that have a reader now.
  std::uint32_t busy(std::uint32_t mask) const;
  std::uint64_t count(Outcome outcome) const;

 private:
  static std::size_t of_thread();

  // The count of readers is in the low bits, that of hits above: the hits wrap after 2^48, some years at full speed.
  static constexpr std::uint64_t one_hit = std::uint64_t{1} << 16;

  std::array<Stripe, stripes> stripes_;
};

}  // namespace millrace::cache
