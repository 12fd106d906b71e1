#pragma once

#include <array>
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/published.hpp"
#include "cache/versions.hpp"
#include "integration/transactions.hpp"

namespace millrace::integration {

/// What one statement sees of others' transactions, as pg_current_snapshot() writes it: "xmin:xmax:xip,xip,...".
struct XidSnapshot {
  std::uint64_t xmin = 0, xmax = 0;
  std::vector<std::uint64_t> running;  ///< between the two; sorted

  /// Null: it isn't one.
  static std::optional<XidSnapshot> parse(std::string_view text);
  /// Whether everybody who looks from then on sees what this transaction has committed. `xid`: as the change stream
  /// says it, without its epoch: it is taken for the one nearest to xmax.
  bool sees(Xid xid) const;
  /// And all that are older.
  bool sees_up_to(Xid xid) const;
};

/// Up to which moments what anybody could see is to be known; 0: of none. Of rows it is known soon; what changes the
/// catalogs is looked for now and then, and whenever somebody needs to know.
struct Moments {
  std::int64_t rows = 0;      ///< of tables
  std::int64_t catalogs = 0;  ///< what they mean and who may read them; no later
  bool operator==(const Moments&) const = default;
};

/// How fresh what is kept of one database is proved to be.
///
/// A cached answer is compared with versions that the change stream advances, some time after a commit. So at a moment
/// nobody knows by the versions alone whether a change that others see already is still to be told. A *proof* says it:
/// at a moment t the server was asked how far its log is; once the stream has told all up to there, whatever anybody
/// could see at t is told, and an answer that is fresh then shows the database as it was at t, or later.
///
/// The other way round, a commit may be told before others see it (its record is written first; behind a synchronous
/// standby long before): what is read meanwhile is older than the versions say, and isn't to be kept. Positions in the
/// log don't show that, transaction ids do.
///
/// Moments are of now_ns(). Thread-safe; what a hit asks takes no lock.
class Freshness {
 public:
  Freshness();

  using Tables = boost::unordered_flat_set<Oid>;

  // Of answers that are there.

  /// Whether changes are told at present.
  bool is_followed() const { return followed_now_.load(std::memory_order_acquire); }
  /// Whether they were, up to when the server was lost, which can't be asked since. What was proved still is: an answer
  /// is as old as that, and isn't made stale for what the server was still to tell, as nobody can tell that now.
  bool is_frozen() const { return frozen_.load(std::memory_order_acquire); }
  /// Whether they may soon be: nothing is known that keeps them from it.
  bool is_expected() const { return expected_.load(std::memory_order_relaxed); }
  /// All rows that anybody could see then are told. To be read before an answer's versions are compared.
  std::int64_t proved_until() const { return proved_until_.load(std::memory_order_acquire); }
  /// And what the catalogs were then is known. Likewise.
  std::int64_t certain_until() const { return certain_until_.load(std::memory_order_acquire); }
  /// What was written through Millrace, and is left to the stream to tell: the last moment at which anything was, and
  /// at which something of this was, or of another that shares its number. Without a proof of that, who reads it may
  /// miss it.
  std::int64_t last_left() const { return last_left_.load(std::memory_order_acquire); }
  std::int64_t left(cache::Dependency dependency) const {
    return left_[dependency % left_.size()].load(std::memory_order_relaxed);
  }
  /// What a proof takes lately, in ns from when it is wanted: of rows, or of the catalogs too.
  std::int64_t usual_wait_ns(bool catalogs = false) const {
    return usual_wait_ns_[catalogs ? 1 : 0].load(std::memory_order_relaxed);
  }
  /// Somebody needs a proof of these moments, or later ones. `then` is called once, on some thread: once there is one,
  /// or it is certain that there won't be soon. It must not call back. False: changes aren't followed, or too many
  /// wait, and it isn't called.
  bool want(Moments moments, std::function<void()> then);
  /// Nobody waits for it, as asking the server was quicker; whoever comes later has it. Asks at intervals, however
  /// often this is called: the more often, the more it takes the server that there is none, which is `cost` this time,
  /// in ns.
  void want_in_passing(Moments moments, std::int64_t cost, std::int64_t now);
  /// So long, for a proof that didn't come.
  void waited_in_vain(std::int64_t ns, bool catalogs);

  // Of answers that are to be kept.

  /// The tables all of whose changes are told; never null. To be asked for after the versions were looked at.
  std::shared_ptr<const Tables> followed() const { return followed_.load(); }
  /// Of an answer that is to be kept: what a change of any row of its tables has changed, and what it depends on
  /// itself, which may be less, by columns that are tracked up to the number `columns`.
  struct Parts {
    std::span<const cache::Dependency> tables, seen;
    std::size_t columns = 0;
  };
  /// Whether all that was told of these is what everybody sees. To be asked after the columns were added to those that
  /// are tracked and the versions were looked at, and before the server is.
  bool all_visible(const Parts& parts) const;
  /// Whatever it is of.
  bool all_is_visible() const {
    if (!looked_.load(std::memory_order_relaxed)) looked_.store(true, std::memory_order_relaxed);
    return unseen_count_.load(std::memory_order_seq_cst) == 0;
  }

  // Of what passes through Millrace.

  /// It is committed, and nothing is made stale for it. Before anybody hears that it is.
  void leave(std::span<const cache::Dependency> dependencies, std::int64_t moment);

  // Of the change stream, which calls these on one thread.

  /// Null: changes aren't told any more; whoever waits needn't.
  void follow(std::shared_ptr<const Tables> tables);
  /// Before they aren't followed any more; or after everything was made stale.
  void freeze(bool frozen) { frozen_.store(frozen, std::memory_order_release); }
  /// Whether the server allows it.
  void expect(bool may_come) { expected_.store(may_come, std::memory_order_relaxed); }
  /// A transaction that has changed these tables is committed. Before it is looked which of their columns are tracked.
  void committed(Xid xid, std::vector<cache::Dependency> tables);
  /// What that one has changed, the last one that was committed, is these, for the columns that are tracked up to the
  /// number `columns`: their versions grow.
  void told(Xid xid, std::span<const cache::Dependency> dependencies, std::size_t columns);
  void on_wanted(std::function<void()> wake);  ///< may be called on any thread; null: it isn't

  /// What is to be asked of the server: the last moments that somebody wants proved, and whether there are commits that
  /// may not be visible yet.
  struct Wanted {
    Moments moments;
    std::int64_t first_catalogs = 0;  ///< the first of the catalogs that is wanted and not known; 0: none
    bool snapshot = false;
  };
  Wanted wanted(std::int64_t now);
  /// Whether all that was told is visible by now, or something more than before.
  bool settle(const XidSnapshot& snapshot);
  void prove(std::int64_t moment, std::int64_t now);
  /// Of the catalogs as well. After `prove` of this moment, or a later one.
  void certify(std::int64_t moment, std::int64_t now);
  /// The server can't be asked: whoever waits needn't.
  void fail_to_prove();

 private:
  struct Waiting {
    Moments moments;
    bool catalogs;  ///< are lacking too
    std::int64_t since;
    std::function<void()> then;
  };
  struct Committed {
    Xid xid;
    std::vector<cache::Dependency> dependencies;  ///< the tables, and what it has changed of them, if that is told
    std::optional<std::size_t> columns = {};      ///< for those that are tracked up to this number; null: it isn't told
  };
  void release(std::vector<Waiting>& all);
  bool is_proved(const Moments& moments) const {
    return proved_until() >= moments.rows && certain_until() >= moments.catalogs;
  }
  std::vector<Waiting> take_proved(std::int64_t now);

  std::atomic<bool> followed_now_ = false, frozen_ = false, expected_ = true;
  std::atomic<std::int64_t> proved_until_ = 0, certain_until_ = 0;
  std::array<std::atomic<std::int64_t>, 2> usual_wait_ns_;          ///< of rows; of the catalogs too
  std::atomic<std::int64_t> asked_in_passing_ = 0, lacked_ns_ = 0;  ///< when; what it took since that there was none
  std::atomic<std::size_t> unseen_count_ = 0;
  mutable std::atomic<bool> looked_ = false;  ///< since that was asked last
  std::atomic<std::int64_t> last_left_ = 0;
  std::array<std::atomic<std::int64_t>, 4096> left_ = {};
  Published<Tables> followed_;

  mutable std::mutex mutex_;
  std::vector<Waiting> waiting_;
  std::function<void()> wake_;
  std::vector<Committed> unseen_;    ///< told, and perhaps not visible yet; their columns never get fewer
  std::size_t unseen_by_table_ = 0;  ///< those of which no more is told than their tables
  /// Where there are too many: the youngest of the others, which may have changed anything.
  std::optional<Xid> unseen_others_;
  std::int64_t looked_at_ = 0;  ///< somebody wanted to keep an answer
  boost::unordered_flat_map<cache::Dependency, std::uint32_t> unseen_by_dependency_;
};

}  // namespace millrace::integration
