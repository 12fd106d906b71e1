#pragma once

#include <boost/describe/class.hpp>
#include <string>
#include <vector>

#include "integration/guarantees.hpp"

namespace millrace::cli {

/// What `millrace check` has found.
struct CheckReport {
  std::string database;               ///< its URL, without the password
  std::string found_in;               ///< who named it
  std::vector<std::string> left_out;  ///< what was said about it and wasn't understood
  std::string asked_for;              ///< CACHE_CONSISTENCY_LEVEL
  bool all_met = false;
  std::vector<integration::Check> checks = {};
  std::vector<integration::Guarantee> guarantees = {};
};
BOOST_DESCRIBE_STRUCT(CheckReport, (), (database, found_in, left_out, asked_for, all_met, checks, guarantees))

/// For people. What comes from the database and the environment has no control characters in it.
std::string as_text(const CheckReport& report);
/// One JSON object in a line.
std::string as_json(const CheckReport& report);

}  // namespace millrace::cli
