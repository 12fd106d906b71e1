#include "integration/publication_keeper.hpp"

#include "base/log.hpp"

namespace millrace::integration {

namespace asio = boost::asio;

namespace {

/// A lock that is in the way may be short; UPDATEs that fail are worse than a gap in the changes.
constexpr int most_tries = 2;
/// Each waits a moment only. At a process's end it is now or never.
constexpr int most_tries_to_drop = 25;
constexpr std::string_view lock_not_available = "55P03";

}  // namespace

asio::awaitable<void> PublicationKeeper::look() {
  const auto rights = co_await query_(rights_sql());
  if (!rights) co_return;
  const auto may = read_rights(*rights);
  if (!may.exist || !may.owned) co_return;
  if (!may.usable) co_return co_await drop();
  const auto answer = co_await query_(tables_to_take_out_sql());
  if (!answer) co_return;
  const auto tables = read_tables(*answer);
  if (tables.empty()) {
    failed_ = 0;
  } else {
    co_await mend(TableToMend::What::take_out, tables);
  }
}

asio::awaitable<bool> PublicationKeeper::mend(TableToMend::What what, std::span<const TableToMend> tables) {
  const bool all = co_await change(what, tables);
  if (what != TableToMend::What::take_out) co_return all;
  failed_ = all ? 0 : failed_ + 1;
  if (failed_ >= most_tries) {
    failed_ = 0;
    log::warn("a table can't be taken out of a publication, which is dropped", {{"publication", changes_publication}});
    co_await drop();
  }
  co_return all;
}

asio::awaitable<bool> PublicationKeeper::change(TableToMend::What what, std::span<const TableToMend> tables) {
  if (co_await query_(mend_sql(what, tables))) co_return true;
  if (tables.size() == 1) co_return false;
  bool all = true;
  for (const auto& table : tables) {
    const std::span one(&table, 1);
    if (!co_await query_(mend_sql(what, one))) all = false;
  }
  co_return all;
}

asio::awaitable<void> PublicationKeeper::drop_unneeded(std::uint32_t process_id) {
  const auto rights = co_await query_(rights_sql());
  if (!rights) co_return;
  const auto may = read_rights(*rights);
  if (!may.exist || !may.owned) co_return;
  const auto others = co_await query_(others_sql(process_id));
  if (others && others->empty()) co_await drop();
}

asio::awaitable<void> PublicationKeeper::drop() {
  for (int tries = 0; tries < most_tries_to_drop; ++tries) {
    const auto done = co_await query_(drop_soon_sql());
    if (done || done.error().sqlstate != lock_not_available) co_return;
  }
}

}  // namespace millrace::integration
