#include "gateway/find_server.hpp"

#include <algorithm>
#include <optional>

#include "gateway/own_query.hpp"

namespace millrace::gateway {
namespace {

using backend::ServerAddress;
using backend::ServerConnection;

backend::LoginRequest log_in_of(const config::DatabaseUrl& url) {
  backend::LoginRequest request;
  request.startup = std::make_shared<const backend::ParameterList>(
      backend::ParameterList{{"user", url.user}, {"database", url.database}, {"application_name", "millrace"}});
  request.credential = credential_of(url);
  return request;
}

std::vector<net::Endpoint> in_turn(const ServerAddress& address) {
  std::vector<net::Endpoint> all{address.endpoint};
  std::ranges::copy_if(address.hosts, std::back_inserter(all),
                       [&](const auto& host) { return host != address.endpoint; });
  return all;
}

}  // namespace

boost::asio::awaitable<std::expected<std::shared_ptr<const ServerAddress>, backend::LoginError>> find_server(
    boost::asio::io_context* io, std::shared_ptr<const ServerAddress> like, config::DatabaseUrl url) {
  const bool wants_writable = url.target == config::TargetSessionAttrs::read_write && like->hosts.size() > 1;
  std::optional<backend::LoginError> error, ours;
  bool is_refused = false;
  for (const auto& endpoint : in_turn(*like)) {
    const auto untold = std::make_shared<ServerAddress>(*like);
    untold->endpoint = endpoint;
    untold->breaker.reset();
    const bool is_used = endpoint == like->endpoint;
    auto opened = co_await ServerConnection::open(*io, untold, log_in_of(url));
    if (!opened) {
      const bool is_ours = opened.error().is_ours;
      is_refused |= is_used && !is_ours && !opened.error().unavailable;
      (is_ours ? ours : error) = std::move(opened.error());
      if (is_ours && ours->error.sqlstate == net::no_resources) break;
      continue;
    }
    const bool is_read_only = (*opened)->says_on("default_transaction_read_only");
    (*opened)->close();
    if (!wants_writable || !is_read_only) {
      if (is_used) co_return like;
      untold->breaker = like->breaker;
      co_return untold;
    }
    error = {.error = {.message = "transactions are read only there", .sqlstate = "57P03"},
             .error_response = {},
             .unavailable = true};
  }
  if (is_refused) co_return like;
  co_return std::unexpected(error ? *std::move(error) : *std::move(ours));
}

}  // namespace millrace::gateway
