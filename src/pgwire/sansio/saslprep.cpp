#include "pgwire/sansio/saslprep.hpp"

#include <stringprep.h>

#include <algorithm>
#include <cstdlib>

namespace millrace::pgwire {

std::string saslprep(std::string_view password) {
  std::string raw(password);
  const bool ascii = std::all_of(raw.begin(), raw.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii || raw.find('\0') != std::string::npos) return raw;
  char* prepared = nullptr;
  if (stringprep_profile(raw.c_str(), &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED) != STRINGPREP_OK) return raw;
  std::string result(prepared);
  std::free(prepared);  // NOLINT: libidn's, from malloc
  return result.empty() ? raw : result;
}

}  // namespace millrace::pgwire
