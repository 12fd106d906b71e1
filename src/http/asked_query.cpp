#include "http/asked_query.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/clock.hpp"

namespace millrace::http {
namespace {

using Problems = std::vector<ValidationProblem>;

constexpr std::size_t query_bytes = 64 * 1024;
constexpr std::size_t name_bytes = 63;  // PostgreSQL's names are no longer
// Until a database's catalogs have been read for the first time.
constexpr auto patience = std::chrono::seconds(3);
constexpr auto between_looks = std::chrono::milliseconds(50);

void check_name(std::string_view field, const std::optional<std::string>& name, Problems& problems) {
  if (!name) return;
  if (name->empty() || name->size() > name_bytes || name->contains('\0')) {
    problems.push_back(
        {{"body", std::string(field)}, fmt::format("must be a name of 1 to {} bytes", name_bytes), "value_error"});
  }
}

asio::awaitable<void> wait_for_catalog(const pipeline::Scope& scope) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto latest = Clock::now() + patience;
  while (scope.source && !scope.source->current() && Clock::now() < latest) {
    timer.expires_after(between_looks);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace

Problems problems_of_query(std::string_view query, bool is_for_postgresql, const std::optional<std::string>& database,
                           const std::optional<std::string>& user) {
  Problems problems;
  if (query.size() > query_bytes) {
    problems.push_back({{"body", "query"}, fmt::format("must have {} bytes at most", query_bytes), "string_too_long"});
  }
  if (!is_for_postgresql) {
    problems.push_back({{"body", "database_type"}, "only postgresql is in this version", "value_error"});
  }
  check_name("database", database, problems);
  check_name("user", user, problems);
  return problems;
}

asio::awaitable<std::optional<std::expected<UnderstoodQuery, Problems>>> understand(
    std::shared_ptr<QueryAnalysts> analysts, std::string query, std::optional<std::string> database,
    std::optional<std::string> user) {
  auto statement = co_await analysts->worker.run([&query] { return sql::parse(query); });
  if (!statement) co_return std::nullopt;
  if ((*statement)->kind == sql::StatementKind::unparsed) {
    co_return std::unexpected(Problems{{{"body", "query"}, (*statement)->why_unparsed, "value_error"}});
  }
  const Asker usual = analysts->usual();
  UnderstoodQuery understood{.statement = *std::move(statement),
                             .scope = {.wanted = true,
                                       .database = std::move(database).value_or(usual.database),
                                       .user = std::move(user).value_or(usual.user)}};
  if (analysts->reads != nullptr) {
    // Whoever names other databases can't have them all read.
    const bool starts = understood.scope.database == usual.database;
    understood.scope = analysts->reads->unshared(std::move(understood.scope), starts);
    if (starts) co_await wait_for_catalog(understood.scope);
  }
  co_return understood;
}

bool can_be_planned(const sql::Statement& statement) {
  using enum sql::StatementKind;
  switch (statement.kind) {
    case select:
    case insert:
    case update:
    case delete_:
    case merge:
      return statement.statements == 1;
    default:
      return false;
  }
}

asio::awaitable<Result<optimizer::PlannedQuery>> plan_of(std::shared_ptr<QueryAnalysts> analysts,
                                                         const pipeline::Scope& scope,
                                                         const std::optional<std::vector<std::string>>& search_path,
                                                         std::string query) {
  if (!analysts->plan) co_return fail("there is none");
  co_return co_await analysts->plan({.database = scope.database,
                                     .user = scope.user,
                                     .search_path = search_path.value_or(std::vector<std::string>()),
                                     .query = std::move(query)});
}

Response too_busy() { return problem(503, "too many such requests wait already", {{"Retry-After", "1"}}); }

std::string why_no_plan(const Error& error) {
  return fmt::format("the server planned nothing, so what would come from its plan is null: {}{}", error.message,
                     error.sqlstate.empty() ? "" : " (" + error.sqlstate + ")");
}

}  // namespace millrace::http
