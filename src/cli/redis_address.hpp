#pragma once

#include "backend/redis.hpp"
#include "config/redis_url.hpp"

namespace millrace::cli {

inline backend::RedisAddress redis_address(const config::RedisUrl& url) {
  return {.host = url.host, .port = url.port, .user = url.user, .password = url.password, .database = url.database};
}

}  // namespace millrace::cli
