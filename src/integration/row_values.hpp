#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "integration/transactions.hpp"

namespace millrace::integration {

/// What a column holds in each row of a table, by the row's key. With the replica identity that tables come with, the
/// change stream doesn't tell what the other columns of a row were before it was changed or deleted; whoever has
/// followed the table since it was read knows it. In the order of commits, as far as the stream has told; between two
/// changes of one row it is that of their transactions, as the second had to wait for the first.
///
/// A column is followed once a change of its table has come whose old value would have been needed. The table is then
/// read (`Load`), in parts that may each see another moment. What comes by the stream meanwhile counts more than what
/// was read. Once all that the readers could see was told too, what was read of other rows is what they hold.
///
/// What rewrites a table (ALTER TABLE ... TYPE ... USING), or gives it another column of a name, isn't told, but gives
/// it another file, or column number, and lets the stream describe the table anew before its next change: what is known
/// isn't used then until the table was found to be as it was when it was read (`Check`).
///
/// Keys and values are kept as hashes: of 128 bits for keys, 64 for values. Texts in keys that aren't ASCII are not
/// known about, as two connections may have them in two encodings. Belongs to one thread, where nothing else is said.
class RowValues {
 public:
  /// Of a value as PostgreSQL writes it, which must not depend on settings.
  using Value = std::uint64_t;
  static constexpr Value null = 0;
  static Value value_of(std::string_view text);

  /// `most_rows`: of all tables' columns together; a row takes about 40 bytes.
  explicit RowValues(std::size_t most_rows) : most_rows_(most_rows) {}

  /// A row's column has changed, or a row has come or gone. Answers what the column was: nullopt: not known; nor of an
  /// insert. To be called for each change of the table once the column is followed, in their order; `place`: of the
  /// column in the table. Begins to follow it, where the old value would be of use.
  std::optional<Value> follow(const Change& change, std::size_t place);
  /// To be told of each transaction before its changes: which tables are described anew.
  void described(const Transaction& done);
  /// Of changes of the table that come now `follow` is told for these columns only. Before that.
  void keep_only(Oid table, const std::vector<std::string>& columns);
  /// Rows of the table have changed of which `follow` wasn't told.
  void forget(Oid table);
  void forget_all();

  /// A table that is to be read.
  struct Load {
    Oid table = 0;
    std::string schema, name;
    std::vector<std::string> key;  ///< columns
    std::string column;
    std::size_t most_rows = 0;
    std::string form = {};  ///< that the table had while it was read: its file and its columns' numbers
    std::uint64_t number = 0;

    /// A row's key, and then the column, as PostgreSQL writes them.
    void add(const std::vector<std::optional<std::string>>& row);
    std::size_t rows() const { return rows_.size(); }

   private:
    friend class RowValues;
    using Key = std::pair<std::uint64_t, std::uint64_t>;
    std::vector<std::pair<Key, Value>> rows_;
  };
  /// The next that is wanted; nothing before what came of it is said.
  std::optional<Load> next_load();
  /// All rows were read, and the stream has told all that the readers could see. Takes `most` of them, and is to be
  /// called until it is true: then that is done, or of no use any more.
  bool take(Load& load, std::size_t most);
  /// Not: it is tried anew if `again`; else the column isn't followed until it is forgotten.
  void failed(const Load& load, bool again);

  /// A table of which it is to be asked whether its form is still that which was read.
  struct Check {
    Oid table = 0;
    std::uint64_t number = 0;
  };
  std::optional<Check> next_check() const;
  /// `form`: what was answered; "": there was no answer.
  void checked(const Check& check, std::string_view form);

  /// Something may have to be read or checked.
  bool has_work() const { return work_; }
  /// Rows whose value is known. Thread-safe.
  std::size_t rows() const { return rows_.load(std::memory_order_relaxed); }

 private:
  using Key = Load::Key;
  struct Hash {
    std::size_t operator()(const Key& key) const { return key.first; }
  };
  static constexpr Value gone = 1;

  enum class State : std::uint8_t { wanted, loading, known, doubtful, refused };
  struct Column {
    State state = State::wanted;
    std::shared_ptr<const Table> table;      ///< as it was described when it was begun to be followed
    std::shared_ptr<const Table> last = {};  ///< that was found to be the same
    std::uint64_t number = 0;                ///< of its load, or of the last doubt
    std::uint64_t tried = 0;                 ///< number of the last load
    std::string form = {};
    std::vector<Key> gone = {};  ///< while it is read
    boost::unordered_flat_map<Key, Value, Hash> rows = {};
  };
  using Name = std::pair<Oid, std::string>;
  struct Before {
    using is_transparent = void;
    template <typename One, typename Other>
    bool operator()(const One& one, const Other& other) const {
      return std::pair<Oid, std::string_view>(one) < std::pair<Oid, std::string_view>(other);
    }
  };
  using Columns = std::map<Name, Column, Before>;

  std::optional<Value> change(Column& column, const Change& change, std::size_t place);
  Columns::iterator first_of(Oid table) { return columns_.lower_bound(std::pair(table, std::string_view())); }
  Columns::iterator erase(Columns::iterator at);
  Column* loading(const Load& load);
  void set(Column& column, const Key& key, Value value);
  void clear(Column& column);

  const std::size_t most_rows_;
  std::atomic<std::size_t> rows_ = 0;
  std::uint64_t numbers_ = 0;
  bool work_ = false;
  Columns columns_;
};

}  // namespace millrace::integration
