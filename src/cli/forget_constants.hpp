#pragma once

#include <string>

namespace millrace::cli {

/// Where constants aren't kept: deletes what holds some from when they were, and is opened by nobody any more: the
/// ledger of rewrites, and what was set aside of it and of the store as it could not be read. What can't be deleted is
/// an error in the log. `data_dir`: "": there is none.
void forget_constants(const std::string& data_dir);

}  // namespace millrace::cli
