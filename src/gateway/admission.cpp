#include "gateway/admission.hpp"

#include "gateway/own_query.hpp"

namespace millrace::gateway {

boost::asio::awaitable<Admission> ask_admission(boost::asio::io_context& core, backend::Pools& pools,
                                                config::DatabaseUrl url, std::string user, std::string database,
                                                std::chrono::milliseconds timeout) {
  // What InitPostgres() and CheckMyDatabase() check, but for a full server (PostgreSQL, postinit.c). A limit on
  // connections other than none at all is that of server connections, so it holds when one is opened.
  constexpr std::string_view sql =
      "SELECT r.oid || '/' || d.oid,"
      " rolcanlogin AND datallowconn AND (rolvaliduntil > now()) IS NOT FALSE"
      " AND has_database_privilege(r.oid, d.oid, 'CONNECT')"
      " AND (rolsuper OR (rolconnlimit <> 0 AND datconnlimit <> 0))"
      " FROM pg_catalog.pg_roles r, pg_catalog.pg_database d WHERE rolname = $1 AND datname = $2";
  const auto rows = co_await own_query(core, pools, std::move(url), std::string(sql),
                                       {std::move(user), std::move(database)}, timeout);
  Admission admission;
  if (rows && rows->size() == 1 && rows->front().size() == 2 && rows->front()[0]) {
    admission.identity = *rows->front()[0];
    admission.likely = rows->front()[1] == "t";
  }
  co_return admission;
}

}  // namespace millrace::gateway
