#include "gateway/own_query.hpp"

namespace millrace::gateway {

pgwire::ServerCredential credential_of(const config::DatabaseUrl& url) {
  if (url.password.empty()) return std::monostate();
  return pgwire::PlainPassword{url.password};
}

boost::asio::awaitable<Result<std::vector<backend::ServerConnection::Row>>> own_query(
    boost::asio::io_context& core, backend::Pools& pools, config::DatabaseUrl url, std::string sql,
    std::vector<std::string> parameters, std::chrono::milliseconds timeout) {
  const auto pool = pools.get(url.user, url.database, backend::Pools::Purpose::own);
  if (!url.password.empty()) pool->set_credential(pgwire::PlainPassword{url.password});
  const auto startup = pool->intern({{"user", url.user}, {"database", url.database}, {"application_name", "millrace"}});
  const auto taken = co_await pool->take(core, startup, {});
  if (!taken) co_return std::unexpected(taken.error().error);
  auto rows = co_await (*taken)->query(std::move(sql), std::move(parameters), timeout);
  pool->give_back(*taken);
  co_return rows;
}

}  // namespace millrace::gateway
