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
  }
  Key key() const { return key_; }

 private:
  Key key_{0, 0};
  std::uint64_t count_ = 0;
};

/// Nullopt: it isn't told.
std::optional<Key> key_of(const Table& table, const Row& row) {
  KeyHash hash;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    if (!table.columns[i].in_identity) continue;
    if (i >= row.size() || row.kind(i) != ValueKind::text) return std::nullopt;
    hash.add(row.value(i));
  }
  return hash.key();
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
  const Name name(table.oid, table.columns[place].name);
  const auto found = columns_.find(name);
  if (found != columns_.end()) {
    auto& column = found->second;
    if (column.state == State::wanted || column.state == State::refused) return std::nullopt;
    return this->change(column, change, place);
  }
  if (change.kind != Change::Kind::insert && is_suitable(table, place)) {
    columns_.emplace(name, Column{.table = change.table});
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
  const auto new_key = has_new ? key_of(table, change.row) : std::nullopt;
  const bool is_old_told = has_old && change.old_kind != OldRow::none;
  const auto old_key = is_old_told ? key_of(table, change.old_row) : new_key;
  if ((has_new && !new_key) || (has_old && !old_key)) {
    clear(column);
    return std::nullopt;
  }
  std::optional<Value> old;
  if (has_old) {
    const auto row = column.rows.find(*old_key);
    if (row != column.rows.end() && row->second != gone) old = row->second;
    if (!has_new || old_key != new_key) set(column, *old_key, gone);
  }
  if (has_new) {
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
  if (value == gone && column.state != State::loading) return erase(column, key);
  rows_ += column.rows.insert_or_assign(key, value).second ? 1 : 0;
  if (rows_ > most_rows_) clear(column);
}

void RowValues::erase(Column& column, const Key& key) { rows_ -= column.rows.erase(key); }

/// It is to be read again.
void RowValues::clear(Column& column) {
  rows_ -= column.rows.size();
  column.rows = {};
  column.number = 0;
  if (column.state != State::refused) column.state = State::wanted;
}

void RowValues::described(const Transaction& done) {
  for (const auto& table : done.described) {
    for (auto at = columns_.lower_bound({table->oid, ""}); at != columns_.end() && at->first.first == table->oid;) {
      auto& column = at->second;
      if (*column.table != *table) {
        clear(column);
        at = columns_.erase(at);
        continue;
      }
      // Read while it was rewritten, or before.
      if (column.state == State::loading) clear(column);
      if (column.state == State::known || column.state == State::doubtful) {
        column.state = State::doubtful;
        column.number = ++numbers_;
      }
      ++at;
    }
  }
}

void RowValues::forget(Oid table) {
  for (auto at = columns_.lower_bound({table, ""}); at != columns_.end() && at->first.first == table; ++at)
    clear(at->second);
}

void RowValues::forget_all() {
  columns_.clear();
  rows_ = 0;
}

void RowValues::Load::add(const std::vector<std::optional<std::string>>& row) {
  if (row.size() != key.size() + 1) return;
  KeyHash hash;
  for (std::size_t i = 0; i < key.size(); ++i) hash.add(row[i].value_or(""));
  rows_.emplace_back(hash.key(), row.back() ? value_of(*row.back()) : null);
}

std::optional<RowValues::Load> RowValues::next_load() {
  if (is_loading_) return std::nullopt;
  for (auto& [name, column] : columns_) {
    if (column.state != State::wanted) continue;
    is_loading_ = true;
    column.state = State::loading;
    column.number = ++numbers_;
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
  return std::nullopt;
}

void RowValues::loaded(Load load) {
  is_loading_ = false;
  const auto found = columns_.find({load.table, load.column});
  if (found == columns_.end() || found->second.number != load.number) return;
  auto& column = found->second;
  column.rows.reserve(column.rows.size() + load.rows_.size());
  for (const auto& [key, value] : load.rows_) rows_ += column.rows.try_emplace(key, value).second ? 1 : 0;
  rows_ -= boost::unordered::erase_if(column.rows, [](const auto& row) { return row.second == gone; });
  column.state = State::known;
  column.file = std::move(load.file);
  if (rows_ > most_rows_) {
    column.state = State::refused;
    clear(column);
  }
}

void RowValues::failed(const Load& load, bool again) {
  is_loading_ = false;
  const auto found = columns_.find({load.table, load.column});
  if (found == columns_.end() || found->second.number != load.number) return;
  found->second.state = again ? State::wanted : State::refused;
  clear(found->second);
}

std::optional<RowValues::Check> RowValues::next_check() const {
  const auto found = std::ranges::find(columns_, State::doubtful, [](const auto& one) { return one.second.state; });
  if (found == columns_.end()) return std::nullopt;
  return Check{.table = found->first.first, .number = numbers_};
}

/// Of what has come to be in doubt since then the answer says nothing.
void RowValues::checked(const Check& check, std::string_view file) {
  for (auto at = columns_.lower_bound({check.table, ""}); at != columns_.end() && at->first.first == check.table;
       ++at) {
    auto& column = at->second;
    if (column.state != State::doubtful || column.number > check.number) continue;
    if (!file.empty() && column.file == file) {
      column.state = State::known;
    } else {
      clear(column);
    }
  }
}

bool RowValues::has_work() const {
  return std::ranges::any_of(columns_, [&](const auto& one) {
    return one.second.state == State::doubtful || (one.second.state == State::wanted && !is_loading_);
  });
}

}  // namespace millrace::integration
