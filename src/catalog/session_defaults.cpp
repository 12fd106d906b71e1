#include "catalog/session_defaults.hpp"

#include <algorithm>
#include <set>

namespace millrace::catalog {

std::vector<BeginOtherwise> who_begins_otherwise(const SessionDefaults& before, const SessionDefaults& now) {
  const bool of_server = std::ranges::any_of(now.of_server, [&](const auto& setting) {
    const auto was = before.of_server.find(setting.first);
    return was != before.of_server.end() && was->second != setting.second;
  });
  std::vector<BeginOtherwise> they;
  if (of_server) they.push_back({.user = "", .answers = true});
  std::set<std::string> users;
  for (const auto* const one : {&before, &now}) {
    for (const auto& [user, defaults] : one->of_users) users.insert(user);
  }
  const auto of = [](const SessionDefaults& defaults, const std::string& user) {
    const auto found = defaults.of_users.find(user);
    return found == defaults.of_users.end() ? SessionDefaults::OfUser() : found->second;
  };
  for (const auto& user : users) {
    const auto was = of(before, user), is = of(now, user);
    if (was != is) they.push_back({.user = user, .answers = was.for_answers != is.for_answers});
  }
  return they;
}

}  // namespace millrace::catalog
