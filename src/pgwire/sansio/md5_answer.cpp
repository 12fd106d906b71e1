#include "pgwire/sansio/md5_answer.hpp"

#include <fmt/core.h>

#include "pgwire/sansio/crypto.hpp"

namespace millrace::pgwire {

std::optional<std::string> md5_answer(const PlainPassword& password, std::string_view user, std::string_view salt) {
  const auto hex = md5_hex(fmt::format("{}{}", password.text, user));
  if (!hex) return std::nullopt;
  return md5_answer(Md5Password{"md5" + *hex}, salt);
}

std::optional<std::string> md5_answer(const Md5Password& password, std::string_view salt) {
  const auto hex = md5_hex(fmt::format("{}{}", std::string_view(password.hash).substr(3), salt));
  if (!hex) return std::nullopt;
  return "md5" + *hex;
}

}  // namespace millrace::pgwire
