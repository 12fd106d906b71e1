#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pgwire/sansio/credentials.hpp"

namespace millrace::pgwire {

/// What AuthenticationMD5Password is answered with; `salt` is its four bytes. nullopt where the system's policy forbids
/// MD5.
std::optional<std::string> md5_answer(const PlainPassword& password, std::string_view user, std::string_view salt);
std::optional<std::string> md5_answer(const Md5Password& password, std::string_view salt);

}  // namespace millrace::pgwire
