#include "gateway/secrets.hpp"

#include <fstream>
#include <iterator>

#include "gateway/own_query.hpp"
#include "pgwire/sansio/user_list.hpp"

namespace millrace::gateway {
Secrets::Secrets(const config::Settings& settings)
    : url_(settings.database_url),
      auth_query_(settings.auth_query),
      timeout_(settings.server_connect_timeout_seconds) {}

Result<std::shared_ptr<Secrets>> Secrets::load(const config::Settings& settings) {
  std::shared_ptr<Secrets> made(new Secrets(settings));
  if (settings.auth_file.empty()) return made;
  std::ifstream file(settings.auth_file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return fail(fmt::format("could not read the user file \"{}\"", settings.auth_file));
  auto users = pgwire::parse_user_list(text);
  if (!users) return fail(fmt::format("{}: {}", settings.auth_file, users.error().message));
  made->users_ = std::move(*users);
  return made;
}

asio::awaitable<Result<Secrets::Found>> Secrets::find(asio::io_context& core, backend::Pools& pools, std::string user) {
  Found found = known(user);
  if (!std::holds_alternative<std::monostate>(found.secret) || users_.contains(user) || auth_query_.empty()) {
    co_return found;
  }
  found.as_of = Clock::now();
  const auto rows = co_await own_query(core, pools, url_, auth_query_, {user}, timeout_);
  if (!rows) {
    co_return fail("AUTH_QUERY failed: " + rows.error().message, "08006",
                   "DATABASE_URL's user must be allowed to run it; or name the users in AUTH_FILE.");
  }
  if (rows->size() == 1 && rows->front().size() >= 2 && rows->front()[1]) {
    found.secret = pgwire::parse_secret(*rows->front()[1]);
  }
  co_return found;
}

Secrets::Found Secrets::known(const std::string& user) const {
  if (const auto listed = users_.find(user); listed != users_.end()) return {listed->second, loaded_};
  if (user == url_.user && !url_.password.empty()) return {pgwire::PlainPassword{url_.password}, loaded_};
  return {{}, loaded_};
}

}  // namespace millrace::gateway
