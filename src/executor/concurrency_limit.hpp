#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::executor {

/// Finds the concurrency at which a backend gets most done: below it the backend is idle in part, above it statements
/// only wait inside, out of reach of priorities, or slow each other down.
///
/// A search by trying: now and then a window of time is spent with a limit that is a step higher, or lower, and what
/// got done in it is compared with the windows before. It moves where that is certain enough to be more, and down also
/// where it is hardly less. Only windows in which somebody waited all the time count, and trials of more: in others
/// the limit decided nothing; and what fails isn't done. A trial of less is over as soon as that is clearly much worse,
/// as where the others' slots are held by what takes long.
///
/// It begins in strides, with half or twice as many, where one trial tells; and so it goes on where two moves in a row
/// go the same way. Not thread-safe.
class ConcurrencyLimit {
 public:
  static constexpr std::size_t at_first = 10;  ///< twice the processors of a small server, and some

  /// A window of time, in ns of `now_ns()`.
  struct Window {
    std::size_t ended = 0;    ///< queries that came to a good end
    std::size_t in_vain = 0;  ///< that failed; not those that were cancelled
    double size = 0;          ///< mean of the logarithms to the base 2 of how long such queries usually take
    bool saturated = false;   ///< somebody waited, all the time
    std::int64_t begun = 0;
    std::int64_t now = 0;
  };

  explicit ConcurrencyLimit(std::size_t most);

  /// The limit from now on is never above. What was found is remembered meanwhile, as pools come and go.
  void set_most(std::size_t most);

  /// Whether the window is long enough to be judged.
  bool is_due(const Window& window) const;
  void end(const Window& window);

  /// At present; at least 1.
  std::size_t limit() const;

 private:
  enum class Tries : std::uint8_t { nothing, more, less };
  /// By how much more gets done (a logarithm to the base 2) with another limit.
  struct Gain {
    double mean = 0;
    double ended = 0;  ///< in a trial, in the mean
    int tried = 0;
    void add(double gain, double in_trial);
    double sure() const;  ///< it is probably no less
  };

  int step() const;  ///< `step_`, as far as is allowed
  void move(int steps);
  bool is_clearly_less(const Window& window) const;
  void judge(double done, double ended);
  void judge_stride(double done, double ended);
  void choose_next();

  std::size_t most_;
  int step_;              ///< on a scale of limits, each about a quarter more than the one before
  int stride_;            ///< of a trial, in steps
  bool strides_ = false;  ///< it has moved by a stride, so where it came from isn't tried
  int moved_ = 0;         ///< last, in steps
  Tries tries_ = Tries::nothing;
  Tries next_ = Tries::less;  ///< at first, as that is over soon where it is wrong
  bool settles_ = false;      ///< the limit was another in the window before
  double usual_ = 0;          ///< what gets done with the limit as it is, of the last few windows
  double usually_ended_ = 0;  ///< likewise, how many in a ns
  int windows_ = 0;           ///< since something else was tried last
  int settled_ = 0;           ///< trials since it moved last
  int shuns_less_ = 0;        ///< windows in which less isn't tried, as it was much worse
  Gain more_, less_;
};

}  // namespace millrace::executor
