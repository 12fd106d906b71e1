#include "integration/fuzz/subjects.hpp"

#include <algorithm>
#include <cstdlib>

#include "integration/replication_framing.hpp"
#include "integration/replication_messages.hpp"
#include "integration/transactions.hpp"
#include "pgwire/protocol/reader.hpp"

namespace millrace::integration::fuzz {
namespace {

void require(bool rule) {
  if (!rule) std::abort();
}

void check(const Transaction& done) {
  require(std::ranges::is_sorted(done.tables) && std::ranges::is_sorted(done.truncated));
  require(done.all_changes || done.changes.empty());
  require(done.changes.size() <= done.rows);
  if (done.everything) return;
  require(std::ranges::includes(done.tables, done.truncated));
  for (const auto& change : done.changes) {
    require(change.table != nullptr && std::ranges::binary_search(done.tables, change.table->oid));
    for (const Row* row : {&change.old_row, &change.row}) {
      for (std::size_t column = 0; column < row->size(); ++column) (void)row->value(column);
    }
  }
}

/// What was told, in order, one line each; of a message only what is told of it however its bytes come.
std::string told(pgwire::Bytes input, std::size_t at_once) {
  std::string told;
  ReplicationFraming framing(
      {.on_started = [&] { told += "started\n"; },
       .on_data = [&](const XLogData& data, bool whole) -> Result<> {
         require(whole || data.data.size() + xlog_data_header == ReplicationFraming::length_of_beginning);
         told += fmt::format("{} {} {}\n", data.start, whole, pgwire::as_text(data.data));
         return {};
       },
       .on_keep_alive = [&](const KeepAlive& alive) { told += fmt::format("{}\n", alive.end); }});
  std::size_t done = 0;
  for (std::size_t there = 0; there < input.size();) {
    there = std::min(there + at_once, input.size());
    const auto fed = framing.feed(input.subspan(done, there - done));
    if (!fed) return told + fed.error().sqlstate;
    require(*fed <= there - done);
    done += *fed;
    // Less than a message is left, so that a buffer that holds one is large enough.
    require(there - done < ReplicationFraming::longest_message);
  }
  return told;
}

}  // namespace

void transactions(pgwire::Bytes input) {
  constexpr std::uint16_t cut = 0x8000;
  const TransactionLimits limits{.bytes = 1000, .all_bytes = 1500, .tables = 8, .large_transactions = 4};
  Transactions transactions(limits);
  while (input.size() >= 2) {
    const auto head = pgwire::load_u16(input.data());
    input = input.subspan(2);
    const auto length = std::min<std::size_t>(head & ~cut, input.size());
    const auto fed = transactions.feed(input.first(length), (head & cut) == 0);
    input = input.subspan(length);
    if (!fed) {
      require(fed.error().sqlstate == "08P01");
      return;
    }
    if (*fed) check(**fed);
    require(transactions.bytes() <= limits.all_bytes);
    require(!transactions.between_transactions() || transactions.bytes() == 0);
  }
}

void copy_data(pgwire::Bytes input) {
  const auto decoded = decode_copy_data(input);
  if (!decoded) return require(decoded.error().sqlstate == "08P01");
  if (const auto* data = std::get_if<XLogData>(&*decoded))
    require(data->data.size() + xlog_data_header == input.size());
}

void framing(pgwire::Bytes input) {
  const auto all = told(input, input.size());
  require(told(input, 7) == all);
  require(told(input, 64) == all);
}

}  // namespace millrace::integration::fuzz
