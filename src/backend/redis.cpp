#include "backend/redis.hpp"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <string_view>

namespace millrace::backend {
namespace {

constexpr std::size_t longest_answer = std::size_t{16} << 20;
constexpr int most_elements = 100'000;

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

timeval to_timeval(std::chrono::milliseconds limit) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  const std::chrono::microseconds rest = limit - seconds;
  return {.tv_sec = seconds.count(), .tv_usec = rest.count()};
}

/// Hiredis makes room for as many elements as a list says that it has.
void bound_lists(redisReader& reader) {
  static const redisReplyObjectFunctions usual = *reader.fn;
  static redisReplyObjectFunctions bounded = [] {
    auto functions = usual;
    functions.createArray = [](const redisReadTask* task, int elements) -> void* {
      return elements <= most_elements ? usual.createArray(task, elements) : nullptr;
    };
    return functions;
  }();
  reader.fn = &bounded;
}

std::string reason(const redisContext& context, int error_number) {
  const bool is_late = context.err == REDIS_ERR_IO && (error_number == EAGAIN || error_number == ETIMEDOUT);
  return is_late ? "no answer in time" : context.errstr;
}

RedisValue value_of(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      return {.value = std::int64_t{reply.integer}};
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      return {.value = std::string(reply.str, static_cast<std::size_t>(reply.len))};
    case REDIS_REPLY_ARRAY: {
      std::vector<RedisValue> list;
      list.reserve(reply.elements);
      for (const redisReply* element : std::span(reply.element, reply.elements)) list.push_back(value_of(*element));
      return {.value = std::move(list)};
    }
    default:  // nil; and an error in a list, which no command asked here answers
      return {};
  }
}

/// "READONLY" of "READONLY You can't write against a read only replica."
std::string_view code_of(std::string_view error) {
  const auto code = error.substr(0, error.find(' '));
  const bool is_code = !code.empty() && code.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos;
  return is_code ? code : "ERR";
}

}  // namespace

void Redis::Free::operator()(redisContext* context) const { redisFree(context); }

Redis::Redis(std::unique_ptr<redisContext, Free> context, std::chrono::milliseconds limit)
    : context_(std::move(context)), limit_(limit) {}

Result<Redis> Redis::connect(const RedisAddress& address, std::chrono::milliseconds limit) {
  const timeval time = to_timeval(limit);
  errno = 0;
  std::unique_ptr<redisContext, Free> context(address.host.starts_with('/')
                                                  ? redisConnectUnixWithTimeout(address.host.c_str(), time)
                                                  : redisConnectWithTimeout(address.host.c_str(), address.port, time));
  if (!context) return fail("Redis: out of memory");
  if (context->err != 0) return fail(fmt::format("Redis can't be reached: {}", reason(*context, errno)));
  redisSetTimeout(context.get(), time);
  bound_lists(*context->reader);
  Redis redis(std::move(context), limit);
  if (!address.password.empty()) {
    std::vector<std::string> log_in{"AUTH"};
    if (!address.user.empty()) log_in.push_back(address.user);
    log_in.push_back(address.password);
    // Without the detail, which may say the password again.
    if (const auto done = redis.ask(log_in); !done) return fail(done.error().message);
  }
  if (address.database != 0) {
    if (const auto done = redis.ask({"SELECT", fmt::format("{}", address.database)}); !done)
      return std::unexpected(done.error());
  }
  return redis;
}

Result<RedisValue> Redis::ask(const std::vector<std::string>& command) {
  std::vector<const char*> words;
  std::vector<std::size_t> lengths;
  for (const auto& word : command) {
    words.push_back(word.data());
    lengths.push_back(word.size());
  }
  redisContext& context = *context_;
  const auto failed = [&] {
    return fail(fmt::format("Redis: {} failed: {}", command.front(), reason(context, errno)));
  };
  errno = 0;
  if (redisAppendCommandArgv(&context, static_cast<int>(words.size()), words.data(), lengths.data()) != REDIS_OK)
    return failed();
  const TimePoint latest = std::min(Clock::now() + limit_, latest_);
  int is_written = 0;
  while (is_written == 0) {
    if (redisBufferWrite(&context, &is_written) != REDIS_OK) return failed();
    if (is_written == 0 && Clock::now() > latest)
      return fail(fmt::format("Redis takes no {} in time", command.front()));
  }
  void* answer = nullptr;
  std::size_t before = 0, read = 0;
  while (true) {
    if (redisGetReplyFromReader(&context, &answer) != REDIS_OK) return failed();
    if (answer != nullptr) break;
    before = context.reader->len;
    if (redisBufferRead(&context) != REDIS_OK) return failed();
    read += context.reader->len - before;
    if (read > longest_answer) return fail(fmt::format("Redis: {} has too long an answer", command.front()));
    if (Clock::now() > latest) return fail(fmt::format("Redis: {} failed: no answer in time", command.front()));
  }
  const Reply reply(static_cast<redisReply*>(answer));
  if (reply->type == REDIS_REPLY_ERROR) {
    const std::string_view error(reply->str, static_cast<std::size_t>(reply->len));
    return fail(fmt::format("Redis refused {}: {}", command.front(), code_of(error)), {}, {}, std::string(error));
  }
  return value_of(*reply);
}

}  // namespace millrace::backend
