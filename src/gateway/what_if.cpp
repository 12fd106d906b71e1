#include "gateway/what_if.hpp"

#include <fmt/format.h>

#include <map>

#include "gateway/own_query.hpp"
#include "gateway/what_if_facts.hpp"
#include "gateway/what_if_session.hpp"

namespace millrace::gateway {
namespace {

namespace asio = boost::asio;
using optimizer::IndexCandidate;
using Session = std::unique_ptr<WhatIfSession>;

class Sessions final : public optimizer::WhatIf {
 public:
  Sessions(asio::io_context& io, std::shared_ptr<backend::Pools> pools, const config::DatabaseUrl& url, Session own)
      : io_(io), pools_(std::move(pools)), user_(url.user), database_(url.database), own_(std::move(own)) {}

  bool measures() const override { return own_->measures(); }

  Result<optimizer::IndexFacts> facts(std::span<const std::pair<std::string, std::string>> widths_of) override {
    return index_facts(*own_, widths_of);
  }

  Result<optimizer::PlanNode> plan(const optimizer::StatementToPlan& statement,
                                   std::span<const IndexCandidate> with) override {
    const auto session = of(statement.user);
    return session ? (*session)->plan(statement, with) : std::unexpected(session.error());
  }

  Result<double> bytes_of(const IndexCandidate& index, const std::string& user) override {
    const auto session = of(user);
    return session ? (*session)->bytes_of(index) : std::unexpected(session.error());
  }

 private:
  /// A log-in that was refused isn't tried again.
  Result<WhatIfSession*> of(const std::string& user) {
    if (user == user_) return own_.get();
    auto known = others_.find(user);
    if (known == others_.end()) {
      auto credential = pools_->clients_credential(user, database_);
      if (!credential) return fail(fmt::format("no client has logged in as \"{}\" lately", user), "28000");
      if (!pools_->has_room(user, database_))
        return fail(fmt::format("the connections of \"{}\" are all in use", user), "53300");
      if (others_.size() >= most_other_users)
        return fail(fmt::format("statements of {} other users are planned at most", most_other_users), "54000");
      known = others_.emplace(user, open(user, *std::move(credential))).first;
    }
    if (!known->second) return std::unexpected(known->second.error());
    return known->second->get();
  }

  Result<Session> open(const std::string& user, pgwire::ServerCredential credential) {
    const auto pool = pools_->get(user, database_, backend::Pools::Purpose::own);
    auto session = WhatIfSession::open(io_, pool, std::move(credential));
    if (session && measures() && !(*session)->measures())
      return fail(fmt::format("\"{}\" may not use HypoPG: GRANT USAGE on its schema", user), "42501");
    return session;
  }

  asio::io_context& io_;
  const std::shared_ptr<backend::Pools> pools_;
  const std::string user_, database_;
  const Session own_;
  std::map<std::string, Result<Session>> others_;
};

}  // namespace

Result<std::shared_ptr<optimizer::WhatIf>> open_what_if(asio::io_context& io, std::shared_ptr<backend::Pools> pools,
                                                        const config::DatabaseUrl& url) {
  const auto pool = pools->get(url.user, url.database, backend::Pools::Purpose::own);
  auto own = WhatIfSession::open(io, pool, credential_of(url));
  if (!own) return std::unexpected(std::move(own).error());
  return std::make_shared<Sessions>(io, std::move(pools), url, *std::move(own));
}

}  // namespace millrace::gateway
