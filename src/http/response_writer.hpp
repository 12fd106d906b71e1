#pragma once

#include <string>
#include <string_view>

#include "http/message.hpp"

namespace millrace::http {

/// RFC 9110, 8.6 and 15.4.5: some have no body, whatever the handler says, and so no length of it.
bool may_have_body(const Response& response);

/// The bytes of a response; of a streamed one the header. `with_body` is false for an answer to HEAD: the length is
/// that of the body left out.
std::string serialize(const Response& response, bool keep_alive, bool with_body, bool http_1_0 = false);

inline constexpr std::string_view continue_response = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace millrace::http
