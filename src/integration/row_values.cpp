#include "integration/row_values.hpp"

#include <algorithm>
#include <random>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/versions.hpp"

namespace millrace::integration {
namespace {

using pgoutput::OldRow;
using pgoutput::ValueKind;
using Key = std::pair<std::uint64_t, std::uint64_t>;

/// boolean, bigint, smallint, integer, text, varchar, uuid: PostgreSQL writes them in one way, whatever the settings.
bool has_one_text(Oid type) {
  constexpr Oid types[] = {16, 20, 21, 23, 25, 1043, 2950};
  return std::ranges::find(types, type) != std::end(types);
}

/// Of a key's values, one after the other. Nobody outside can make two keys alike.
class KeyHash {
 public:
  void add(std::string_view text) {
    static const std::uint64_t seed = std::uint64_t{std::random_device{}()} << 32 | std::random_device{}();
    const auto hash = XXH3_128bits_withSeed(text.data(), text.size(), seed ^ key_.first ^ count_++);
    key_ = {key_.first * 31 + hash.low64, key_.second * 31 + hash.high64};
    is_ascii_ = is_ascii_ && std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }
  /// Nullopt: it isn't kept.
  std::optional<Key> key() const { return is_ascii_ ? std::optional(key_) : std::nullopt; }

 private:
  Key key_{0, 0};
  std::uint64_t count_ = 0;
  bool is_ascii_ = true;
};

/// Nullopt: it isn't told.
std::optional<KeyHash> key_of(const Table& table, const Row& row) {
  KeyHash hash;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (!table.columns[i].in_identity) continue;
    if (i >= row.size() || row.kind(i) != ValueKind::text) return std::nullopt;
    hash.add(row.value(i));
  }
  return hash;
}

/// Of which what a change doesn't tell can be known, and isn't told otherwise.
bool is_suitable(const Table& table, std::size_t place) {
  if (place >= table.columns.size() || table.replica_identity == 'f' || table.replica_identity == 'n') return false;
  if (table.columns[place].in_identity || !has_one_text(table.columns[place].type)) return false;
  bool has_key = false;
  for (const auto& column : table.columns) {
    if (!column.in_identity) continue;
    has_key = true;
    if (!has_one_text(column.type)) return false;
  }
  return has_key;
}

}  // namespace

RowValues::Value RowValues::value_of(std::string_view text) {
  const auto hash = cache::Versions::hash(text);
  return hash == null || hash == gone ? hash + 2 : hash;
}

std::optional<RowValues::Value> RowValues::follow(const Change& change, std::size_t place) {
  const auto& table = *change.table;
  if (place >= table.columns.size()) return std::nullopt;
  const auto found = columns_.find(std::pair(table.oid, std::string_view(table.columns[place].name)));
  if (found != columns_.end()) {
    auto& column = found->second;
    if (column.state == State::wanted || column.state == State::refused) return std::nullopt;
    return this->change(column, change, place);
  }
  if (change.kind != Change::Kind::insert && is_suitable(table, place)) {
    columns_.emplace(Name(table.oid, table.columns[place].name), Column{.table = change.table});
    work_ = true;
  }
  return std::nullopt;
}

std::optional<RowValues::Value> RowValues::change(Column& column, const Change& change, std::size_t place) {
  const auto& table = *change.table;
  if (change.table != column.last) {
    if (table != *column.table) {  // for a part of its transaction
      clear(column);
      return std::nullopt;
    }
    column.last = change.table;
  }
  const bool has_old = change.kind != Change::Kind::insert;
  const bool has_new = change.kind != Change::Kind::delete_;
  const auto told_new = has_new ? key_of(table, change.row) : std::nullopt;
  const auto told_old = change.old_kind == OldRow::none ? told_new : key_of(table, change.old_row);
  if ((has_new && !told_new) || (has_old && !told_old)) {
    clear(column);
    return std::nullopt;
  }
  const auto old_key = has_old ? told_old->key() : std::nullopt;
  const auto new_key = has_new ? told_new->key() : std::nullopt;
  std::optional<Value> old;
  if (old_key) {
    const auto row = column.rows.find(*old_key);
    if (row != column.rows.end() && row->second != gone) old = row->second;
    if (old_key != new_key) set(column, *old_key, gone);
  }
  if (new_key && column.state != State::wanted) {
    switch (place < change.row.size() ? change.row.kind(place) : ValueKind::binary) {
      case ValueKind::null:
        set(column, *new_key, null);
        break;
      case ValueKind::text:
        set(column, *new_key, value_of(change.row.value(place)));
        break;
      case ValueKind::unchanged:
        if (old) {
          set(column, *new_key, *old);
          break;
        }
        [[fallthrough]];
      case ValueKind::binary:
        clear(column);
        return std::nullopt;
    }
  }
  return column.state == State::doubtful ? std::nullopt : old;
}

/// What is gone is remembered while a table is read, as the readers may have seen it.
void RowValues::set(Column& column, const Key& key, Value value) {
  if (value == gone && column.state != State::loading) {
    rows_ -= column.rows.erase(key);
    return;
  }
  if (value == gone) column.gone.push_back(key);
  rows_ += column.rows.insert_or_assign(key, value).second ? 1 : 0;
  if (rows_ > most_rows_) clear(column);
}

/// It is to be read again.
void RowValues::clear(Column& column) {
  rows_ -= column.rows.size();
  column.rows = {};
  column.gone = {};
  column.number = 0;
  if (column.state == State::refused) return;
  column.state = State::wanted;
  work_ = true;
}

RowValues::Columns::iterator RowValues::erase(Columns::iterator at) {
  rows_ -= at->second.rows.size();
  return columns_.erase(at);
}

void RowValues::described(const Transaction& done) {
  for (const auto& table : done.described) {
    for (auto at = first_of(table->oid); at != columns_.end() && at->first.first == table->oid;) {
      auto& column = at->second;
      if (*column.table != *table) {
        at = erase(at);
        continue;
      }
      // Read while it was changed, or before.
      if (column.state == State::loading) clear(column);
      if (column.state == State::known || column.state == State::doubtful) {
        column.state = State::doubtful;
        column.number = ++numbers_;
        work_ = true;
      }
      ++at;
    }
  }
}

void RowValues::keep_only(Oid table, const std::vector<std::string>& columns) {
  for (auto at = first_of(table); at != columns_.end() && at->first.first == table;) {
    at = std::ranges::find(columns, at->first.second) == columns.end() ? erase(at) : std::next(at);
  }
}

void RowValues::forget(Oid table) { keep_only(table, {}); }

void RowValues::forget_all() {
  columns_.clear();
  rows_ = 0;
}

void RowValues::Load::add(const std::vector<std::optional<std::string>>& row) {
  if (row.size() != key.size() + 1) return;
  KeyHash hash;
  for (std::size_t i = 0; i < key.size(); ++i) hash.add(row[i].value_or(""));
  if (const auto kept = hash.key()) rows_.emplace_back(*kept, row.back() ? value_of(*row.back()) : null);
}

/// The one that was tried longest ago.
std::optional<RowValues::Load> RowValues::next_load() {
  auto next = columns_.end();
  for (auto at = columns_.begin(); at != columns_.end(); ++at) {
    if (at->second.state == State::wanted && (next == columns_.end() || at->second.tried < next->second.tried))
      next = at;
  }
  if (next == columns_.end()) {
    work_ = next_check().has_value();  // what came to be in doubt meanwhile
    return std::nullopt;
  }
  auto& [name, column] = *next;
  clear(column);
  column.state = State::loading;
  column.tried = column.number = ++numbers_;
  Load load;
  load.table = name.first;
  load.schema = column.table->schema;
  load.name = column.table->name;
  load.column = name.second;
  load.most_rows = most_rows_ - std::min(most_rows_, rows());
  load.number = column.number;
  for (const auto& one : column.table->columns) {
    if (one.in_identity) load.key.push_back(one.name);
  }
  return load;
}

/// Null: it is of no use any more.
RowValues::Column* RowValues::loading(const Load& load) {
  const auto found = columns_.find(std::pair(load.table, std::string_view(load.column)));
  return found == columns_.end() || found->second.number != load.number ? nullptr : &found->second;
}

bool RowValues::take(Load& load, std::size_t most) {
  auto* const column = loading(load);
  if (column == nullptr) return true;
  if (rows() + load.rows_.size() > most_rows_) {
    failed(load, false);
    return true;
  }
  column->rows.reserve(column->rows.size() + load.rows_.size());
  for (; most > 0 && !load.rows_.empty(); --most, load.rows_.pop_back()) {
    rows_ += column->rows.insert(load.rows_.back()).second ? 1 : 0;
  }
  if (!load.rows_.empty()) return false;
  column->state = State::known;
  column->form = load.form;
  for (const auto& key : column->gone) {
    if (const auto row = column->rows.find(key); row != column->rows.end() && row->second == gone) {
      column->rows.erase(row);
      --rows_;
    }
  }
  column->gone = {};
  return true;
}

void RowValues::failed(const Load& load, bool again) {
  auto* const column = loading(load);
  if (column == nullptr) return;
  column->state = again ? State::wanted : State::refused;
  clear(*column);
}

std::optional<RowValues::Check> RowValues::next_check() const {
  if (!work_) return std::nullopt;
  const auto found = std::ranges::find(columns_, State::doubtful, [](const auto& one) { return one.second.state; });
  if (found == columns_.end()) return std::nullopt;
  return Check{.table = found->first.first, .number = numbers_};
}

/// Of what has come to be in doubt since then the answer says nothing.
void RowValues::checked(const Check& check, std::string_view form) {
  for (auto at = first_of(check.table); at != columns_.end() && at->first.first == check.table; ++at) {
    auto& column = at->second;
    if (column.state != State::doubtful || column.number > check.number) continue;
    if (!form.empty() && column.form == form) {
      column.state = State::known;
    } else {
      clear(column);
    }
  }
}

}  // namespace millrace::integration
