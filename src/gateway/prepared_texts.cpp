#include "gateway/prepared_texts.hpp"

#include <sys/random.h>

namespace millrace::gateway {
namespace {

std::uint64_t random_number() {
  std::uint64_t random = 0;
  while (getrandom(&random, sizeof random, 0) != sizeof random) {
  }
  return random;
}

/// One to one: the steps of splitmix64 (Steele, Lea, Flood 2014).
std::uint64_t mixed(std::uint64_t number) {
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

}  // namespace

PreparedTexts::PreparedTexts() : prefix_(fmt::format("mr_{:016x}", random_number())), secret_(random_number()) {}

PreparedTexts::PreparedTexts(std::string prefix) : prefix_(std::move(prefix)) {}

std::string PreparedTexts::server_name(std::uint64_t number) const {
  if (!secret_) return fmt::format("{}{}", prefix_, number);
  return fmt::format("{}{:016x}", prefix_, mixed(number ^ *secret_));
}

namespace {

/// Of a text that the relay doesn't read as the server does, nothing is known but its bytes.
std::string key_of(std::string_view query_and_types, const TextMeaning& meaning, bool holds_constants,
                   const std::shared_ptr<const sql::Statement>& statement) {
  const bool unparsed = statement && statement->kind == sql::StatementKind::unparsed;
  const std::string_view constants = holds_constants ? std::string_view(meaning.constants) : "";
  return fmt::format("{}{},{},{}{}{}", unparsed ? 'u' : 'p', constants.size(), meaning.names.size(), constants,
                     meaning.names, query_and_types);
}

/// Without what follows the text: a NUL and the types.
std::string_view text_of(std::string_view query_and_types) {
  return query_and_types.substr(0, query_and_types.find('\0'));
}

}  // namespace

std::shared_ptr<const PreparedText> PreparedTexts::intern(std::string_view query_and_types, const TextMeaning& meaning,
                                                          const std::shared_ptr<const sql::Statement>& statement) {
  std::string key = key_of(query_and_types, meaning, holds_constants(text_of(query_and_types)), statement);
  const std::scoped_lock lock(mutex_);
  if (const auto found = known_.find(key); found != known_.end()) {
    if (auto alive = found->second.lock()) return alive;
  }
  auto made = add(std::move(key), query_and_types, meaning, statement, true);
  known_.erase(made->key);
  known_.emplace(made->key, made);
  return made;
}

std::shared_ptr<const PreparedText> PreparedTexts::make(std::string_view query_and_types, const TextMeaning& meaning,
                                                        const std::shared_ptr<const sql::Statement>& statement,
                                                        bool shared) {
  std::string key = key_of(query_and_types, meaning, holds_constants(text_of(query_and_types)), statement);
  const std::scoped_lock lock(mutex_);
  return add(std::move(key), query_and_types, meaning, statement, shared);
}

void PreparedTexts::prefer(const std::shared_ptr<const PreparedText>& text) {
  const std::scoped_lock lock(mutex_);
  known_.erase(text->key);  // the key is a view into the other's
  known_.emplace(text->key, text);
}

std::shared_ptr<const PreparedText> PreparedTexts::add(std::string key, std::string_view query_and_types,
                                                       const TextMeaning& meaning,
                                                       const std::shared_ptr<const sql::Statement>& statement,
                                                       bool shared) {
  const bool constants = holds_constants(text_of(query_and_types));
  const std::uint64_t number = next_++;
  // The key is a view into the text, so the entry goes with the last owner.
  return {new PreparedText{.number = number,
                           .query_and_types = std::string(query_and_types),
                           .meaning = {.constants = constants ? meaning.constants : "", .names = meaning.names},
                           .holds_constants = constants,
                           .shared = shared,
                           .statement = statement,
                           .server_name = server_name(number),
                           .key = std::move(key)},
          [this](const PreparedText* text) {
            {
              const std::scoped_lock inner(mutex_);
              const auto found = known_.find(text->key);
              if (found != known_.end() && found->first.data() == text->key.data()) known_.erase(found);
            }
            delete text;
          }};
}

}  // namespace millrace::gateway
