#include "integration/transactions.hpp"

#include <algorithm>

namespace millrace::integration {
namespace {

/// What a change takes beside its values.
constexpr std::size_t change_overhead = sizeof(Change);

std::unexpected<Error> out_of_order() {
  return fail("the server sent a message of its change stream out of order", "08P01");
}

/// False: it is there already.
bool add(std::vector<Oid>& sorted, Oid oid) {
  const auto at = std::ranges::lower_bound(sorted, oid);
  if (at != sorted.end() && *at == oid) return false;
  sorted.insert(at, oid);
  return true;
}

std::vector<Oid> all_of(const std::map<Xid, std::vector<Oid>>& by_xid) {
  std::vector<Oid> all;
  for (const auto& [xid, oids] : by_xid) all.insert(all.end(), oids.begin(), oids.end());
  std::ranges::sort(all);
  const auto twice = std::ranges::unique(all);
  all.erase(twice.begin(), twice.end());
  return all;
}

Table keep(const pgoutput::Relation& relation) {
  Table table{.oid = relation.oid,
              .schema = std::string(relation.schema.empty() ? "pg_catalog" : relation.schema),
              .name = std::string(relation.name),
              .replica_identity = relation.replica_identity,
              .columns = {}};
  table.columns.reserve(relation.columns.size());
  for (const auto& column : relation.columns) {
    table.columns.push_back({.name = std::string(column.name),
                             .type = column.type,
                             .modifier = column.modifier,
                             .in_identity = column.in_identity});
  }
  return table;
}

}  // namespace

Result<std::optional<Transaction>> Transactions::feed(pgwire::Bytes message, bool whole) {
  const bool in_block = block_ != 0;
  if (!whole) {
    const auto change = pgoutput::decode_beginning(message, in_block);
    if (!change) return std::unexpected(change.error());
    if (open() == nullptr) return out_of_order();
    drop_changes(*open());
    return row_changed(change->xid, change->relation, {});
  }
  const auto decoded = pgoutput::decode(message, in_block);
  if (!decoded) return std::unexpected(decoded.error());
  return std::visit([this](const auto& one) { return on(one); }, *decoded);
}

Transactions::Open* Transactions::open() {
  if (block_ != 0) return &large_.at(block_);
  return current_ ? &*current_ : nullptr;
}

Transactions::Done Transactions::on(const pgoutput::Begin& begin) {
  if (current_) return out_of_order();
  current_.emplace();
  current_->transaction.xid = begin.xid;
  return std::nullopt;
}

Transactions::Done Transactions::on(const pgoutput::Commit& commit) {
  if (!current_) return out_of_order();
  auto done = *std::exchange(current_, std::nullopt);
  return finish(std::move(done), commit.commit_lsn, commit.end_lsn, commit.commit_time);
}

Transactions::Done Transactions::on(const pgoutput::Origin&) { return std::nullopt; }
Transactions::Done Transactions::on(const pgoutput::Type&) { return std::nullopt; }
Transactions::Done Transactions::on(const pgoutput::Message&) { return std::nullopt; }

Transactions::Done Transactions::on(const pgoutput::Relation& relation) {
  auto* const in = open();
  if (in == nullptr) return out_of_order();
  // What a transaction that may be rolled back has made of its tables is its own until it is committed.
  in->described[relation.oid] = std::make_shared<const Table>(keep(relation));
  return std::nullopt;
}

std::shared_ptr<const Table> Transactions::table(const Open& open, Oid oid) const {
  if (const auto own = open.described.find(oid); own != open.described.end()) return own->second;
  const auto known = tables_.find(oid);
  return known == tables_.end() ? nullptr : known->second;
}

Transactions::Done Transactions::on(const pgoutput::Insert& insert) {
  return row_changed(insert.xid, insert.relation,
                     {.kind = Change::Kind::insert, .table = {}, .old_row = {}, .row = Row(insert.row)});
}

Transactions::Done Transactions::on(const pgoutput::Update& update) {
  return row_changed(update.xid, update.relation,
                     {.kind = Change::Kind::update,
                      .table = {},
                      .old_kind = update.old_kind,
                      .old_row = Row(update.old_row),
                      .row = Row(update.row)});
}

Transactions::Done Transactions::on(const pgoutput::Delete& deleted) {
  return row_changed(deleted.xid, deleted.relation,
                     {.kind = Change::Kind::delete_,
                      .table = {},
                      .old_kind = deleted.old_kind,
                      .old_row = Row(deleted.old_row),
                      .row = {}});
}

Transactions::Done Transactions::row_changed(Xid xid, Oid relation, Change change) {
  auto* const in = open();
  if (in == nullptr) return out_of_order();
  change.xid = xid != 0 ? xid : in->transaction.xid;
  change.table = table(*in, relation);
  if (!change.table) return out_of_order();
  touch(*in, change.xid, relation);
  ++in->transaction.rows;
  if (!in->transaction.all_changes) return std::nullopt;
  const std::size_t bytes = change_overhead + change.old_row.memory() + change.row.memory();
  if (in->bytes + bytes > limits_.bytes || bytes_ + bytes > limits_.all_bytes) {
    drop_changes(*in);
    return std::nullopt;
  }
  in->bytes += bytes;
  bytes_ += bytes;
  in->transaction.changes.push_back(std::move(change));
  return std::nullopt;
}

Transactions::Done Transactions::on(const pgoutput::Truncate& truncate) {
  auto* const in = open();
  if (in == nullptr) return out_of_order();
  const Xid xid = truncate.xid != 0 ? truncate.xid : in->transaction.xid;
  for (const Oid oid : truncate.relations) {
    touch(*in, xid, oid);
    if (!in->transaction.everything) add(in->truncated[xid], oid);
  }
  return std::nullopt;
}

Transactions::Done Transactions::on(const pgoutput::StreamStart& start) {
  if (current_ || start.xid == 0) return out_of_order();
  if (large_.contains(start.xid) == start.first || large_.size() >= limits_.large_transactions) return out_of_order();
  large_[start.xid].transaction.xid = start.xid;
  block_ = start.xid;
  return std::nullopt;
}

Transactions::Done Transactions::on(const pgoutput::StreamStop&) {
  block_ = 0;
  return std::nullopt;
}

Transactions::Done Transactions::on(const pgoutput::StreamCommit& commit) {
  auto found = large_.extract(commit.xid);
  if (!found || current_) return out_of_order();
  return finish(std::move(found.mapped()), commit.commit_lsn, commit.end_lsn, commit.commit_time);
}

Transactions::Done Transactions::on(const pgoutput::StreamAbort& abort) {
  const auto found = large_.find(abort.xid);
  if (found == large_.end() || current_) return out_of_order();
  if (abort.sub_xid != abort.xid) {
    roll_back(found->second, abort.sub_xid);
    return std::nullopt;
  }
  bytes_ -= found->second.bytes;
  large_.erase(found);
  return std::nullopt;
}

void Transactions::touch(Open& open, Xid xid, Oid table) {
  if (open.transaction.everything || !add(open.tables[xid], table)) return;
  if (++open.pairs <= limits_.tables) return;
  // Whatever is rolled back from now on counts nevertheless.
  auto all = all_of(open.tables);
  auto truncated = all_of(open.truncated);
  drop_changes(open);
  open.tables.clear();
  open.truncated.clear();
  open.pairs = all.size();
  if (open.pairs > limits_.tables / 2) {
    open.transaction.everything = true;
    return;
  }
  open.tables.emplace(open.transaction.xid, std::move(all));
  open.truncated.emplace(open.transaction.xid, std::move(truncated));
}

void Transactions::drop_changes(Open& open) {
  open.transaction.changes = {};
  open.transaction.all_changes = false;
  bytes_ -= std::exchange(open.bytes, 0);
}

void Transactions::roll_back(Open& open, Xid sub_xid) {
  if (const auto found = open.tables.find(sub_xid); found != open.tables.end()) {
    open.pairs -= found->second.size();
    open.tables.erase(found);
  }
  open.truncated.erase(sub_xid);
  const auto gone = std::erase_if(open.transaction.changes, [&](const Change& change) {
    if (change.xid != sub_xid) return false;
    const std::size_t bytes = change_overhead + change.old_row.memory() + change.row.memory();
    open.bytes -= bytes;
    bytes_ -= bytes;
    return true;
  });
  open.transaction.rows -= gone;
}

Transaction Transactions::finish(Open open, Lsn commit_lsn, Lsn end_lsn, pgoutput::Timestamp time) {
  bytes_ -= open.bytes;
  auto done = std::move(open.transaction);
  done.commit_lsn = commit_lsn;
  done.end_lsn = end_lsn;
  done.commit_time = time;
  if (!done.everything) {
    done.tables = all_of(open.tables);
    done.truncated = all_of(open.truncated);
  }
  for (auto& [oid, table] : open.described) {
    auto& known = tables_[oid];
    done.described.push_back(table);
    known = std::move(table);
  }
  return done;
}

}  // namespace millrace::integration
