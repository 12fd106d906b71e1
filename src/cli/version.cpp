#include "cli/version.hpp"

#include <fmt/core.h>
#include <openssl/crypto.h>
#include <spdlog/version.h>
#include <toml++/impl/version.h>

#include <CLI/Version.hpp>
#include <boost/version.hpp>

#include "commit.hpp"

namespace millrace::cli {

std::string_view version() { return MILLRACE_VERSION; }

std::string version_details() {
  return fmt::format(
      "millrace {}\n"
      "commit    {}\n"
      "compiler  {}\n"
      "libraries Boost {}.{}.{}, {}, fmt {}.{}.{}, spdlog {}.{}.{}, toml++ {}.{}.{}, CLI11 {}\n",
      version(), commit, __VERSION__, BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100,
      OpenSSL_version(OPENSSL_VERSION), FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100,
      SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH, TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH,
      CLI11_VERSION);
}

}  // namespace millrace::cli
