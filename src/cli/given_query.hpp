#pragma once

#include <boost/json/object.hpp>
#include <string>

namespace millrace::cli {

/// What the commands about a query are given.
struct GivenQuery {
  std::string query = {};                ///< "-": standard input
  std::string database = {}, user = {};  ///< "": DATABASE_URL's
  bool json = false;                     ///< the answer as it came
};

/// The body of the request. Reads standard input, if need be.
boost::json::object asked_of(const GivenQuery& given);

}  // namespace millrace::cli
