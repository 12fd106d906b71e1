#pragma once

#include <string>
#include <string_view>

namespace millrace::pgwire {

/// A password as SCRAM hashes it: RFC 4013, and where that can't be applied (not UTF-8, prohibited or unassigned
/// characters, nothing left) the bytes as they are, as PostgreSQL and libpq do.
std::string saslprep(std::string_view password);

}  // namespace millrace::pgwire
