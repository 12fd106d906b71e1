#include "executor/party.hpp"

#include <algorithm>

#include "base/clock.hpp"

namespace millrace::executor {

std::shared_ptr<Party> Parties::find(std::string_view user, std::string_view project) {
  std::string key;
  key.reserve(project.size() + 1 + user.size());
  key.append(project).append(1, '\0').append(user);
  const std::scoped_lock lock(mutex_);
  auto& known = parties_[key];
  if (auto party = known.lock()) return party;
  std::shared_ptr<Share> group;
  if (!project.empty()) {
    auto& share = projects_[std::string(project)];
    group = share.lock();
    if (!group) share = group = std::make_shared<Share>();
  } else {
    group = std::make_shared<Share>();
  }
  std::shared_ptr<Account> user_account, project_account;
  if (!user.empty() && user.front() != '\0') user_account = quotas_.account(Quotas::Of::user, user, now_ns());
  if (!project.empty()) project_account = quotas_.account(Quotas::Of::project, project, now_ns());
  auto party =
      std::make_shared<Party>(std::move(group), !project.empty(), std::move(user_account), std::move(project_account));
  known = party;
  if (parties_.size() >= sweep_at_) {
    boost::unordered::erase_if(parties_, [](const auto& entry) { return entry.second.expired(); });
    boost::unordered::erase_if(projects_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(1024, 2 * parties_.size());
  }
  return party;
}

}  // namespace millrace::executor
