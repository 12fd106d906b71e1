#include "gateway/prepared_texts.hpp"

#include <sys/random.h>

namespace millrace::gateway {

std::string PreparedTexts::random_prefix() {
  std::uint64_t random = 0;
  while (getrandom(&random, sizeof random, 0) != sizeof random) {
  }
  return fmt::format("mr_{:016x}_", random);
}

PreparedTexts::PreparedTexts(std::string prefix) : prefix_(std::move(prefix)) {}

std::string PreparedTexts::server_name(std::uint64_t number) const { return fmt::format("{}{}", prefix_, number); }

std::shared_ptr<const PreparedText> PreparedTexts::intern(std::string_view query_and_types,
                                                          const std::shared_ptr<const sql::Statement>& statement) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = known_.find(query_and_types); found != known_.end()) {
    if (auto alive = found->second.lock()) return alive;
  }
  // The key is a view into the text, so the entry goes with the last owner.
  std::shared_ptr<const PreparedText> made(
      new PreparedText{next_, std::string(query_and_types), statement, server_name(next_)},
      [this](const PreparedText* text) {
        {
          const std::scoped_lock inner(mutex_);
          const auto found = known_.find(text->query_and_types);
          if (found != known_.end() && found->first.data() == text->query_and_types.data()) known_.erase(found);
        }
        delete text;
      });
  ++next_;
  known_.erase(query_and_types);
  known_.emplace(made->query_and_types, made);
  return made;
}

}  // namespace millrace::gateway
