#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace millrace::executor {

/// Logarithm to the base 2, in 1/256, of a positive number; between powers of two it is a straight line, which is off
/// by 0.09 at most.
inline int log2_256(std::int64_t value) {
  const auto x = static_cast<std::uint64_t>(value < 1 ? 1 : value);
  const int whole = static_cast<int>(std::bit_width(x)) - 1;
  const std::uint64_t rest = whole >= 8 ? x >> (whole - 8) : x << (8 - whole);  // 256 to 511
  return whole * 256 + static_cast<int>(rest & 0xff);
}

/// How long statements of each template take. It forgets templates when others take their places; belongs to its core's
/// thread.
class TemplateTimes {
 public:
  /// In ns; 0: not known.
  std::int64_t mean(std::uint64_t fingerprint) const {
    const Times& times = times_[place(fingerprint)];
    return times.fingerprint == fingerprint ? times.mean : 0;
  }

  /// A statement took so many ns, of its turn on. Answers how long such ones usually take, as a logarithm (`log2_256`):
  /// the mean of their logarithms, since durations of one template differ by orders of magnitude with its parameters.
  /// It changes within minutes, not seconds.
  int note(std::uint64_t fingerprint, std::int64_t took, std::int64_t now);

 private:
  struct Times {
    std::uint64_t fingerprint = 0;
    std::int64_t mean = 0;
    std::int32_t size = 0;  ///< mean of the logarithms, in 1/256 of `log2_256`'s unit
    std::int32_t noted = 0;
    std::int64_t changed = 0;  ///< `size`, when last
  };
  static constexpr std::size_t places = 2048;
  static std::size_t place(std::uint64_t fingerprint) { return (fingerprint ^ (fingerprint >> 32)) % places; }

  std::vector<Times> times_ = std::vector<Times>(places);
};

}  // namespace millrace::executor
