#include "http/known_recommendations.hpp"

namespace millrace::http {
namespace {

constexpr std::chrono::minutes kept_for(1), known_for(60);
constexpr std::size_t most_kept = 8;

}  // namespace

KnownRecommendations::Answer KnownRecommendations::find(const Key& key) const {
  const std::scoped_lock lock(mutex_);
  const auto found = answers_.find(key);
  return found != answers_.end() && Clock::now() - found->second.at < kept_for ? found->second.answer : nullptr;
}

void KnownRecommendations::keep(const Key& key, Answer answer) {
  const std::scoped_lock lock(mutex_);
  if (answers_.size() >= most_kept) answers_.clear();
  const Kept kept{.at = Clock::now(), .answer = std::move(answer)};
  if (!key.second) newest_ = kept;
  answers_[key] = kept;
}

KnownRecommendations::Answer KnownRecommendations::newest() const {
  const std::scoped_lock lock(mutex_);
  return newest_.answer && Clock::now() - newest_.at < known_for ? newest_.answer : nullptr;
}

}  // namespace millrace::http
