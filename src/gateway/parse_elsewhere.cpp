#include "gateway/parse_elsewhere.hpp"

#include "net/signal.hpp"
#include "sql/comments.hpp"

namespace millrace::gateway {

asio::awaitable<std::shared_ptr<const sql::Statement>> parse_elsewhere(Core& core, std::string text) {
  std::string buffer;
  // As `Pipeline::understand` does: it is many clients' statement, whose comments are their own.
  std::string plain(sql::without_comments(text, buffer));
  std::shared_ptr<const sql::Statement> statement;
  net::Signal parsed(core.io);
  core.shared.parse_pool.parse(plain, [&](std::shared_ptr<const sql::Statement> result) {
    asio::post(core.io, [&, result = std::move(result)]() mutable {
      statement = std::move(result);
      parsed.set();
    });
  });
  co_await parsed.wait(std::chrono::hours(24));
  core.pipeline.remember(plain, statement);
  co_return statement;
}

}  // namespace millrace::gateway
