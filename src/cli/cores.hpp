#pragma once

#include <memory>
#include <vector>

#include "base/result.hpp"

namespace boost::asio {
class io_context;
}

namespace millrace::cli {

/// The io_contexts that connections live on, each with one thread of its own.
class Cores {
 public:
  /// 0: one for each two processors that this process may use.
  explicit Cores(int count);
  ~Cores();

  std::vector<boost::asio::io_context*> contexts() const;

  /// Starts the threads.
  Result<> start();

  /// Ends the threads; what they had begun is dropped when this object is.
  void stop();

 private:
  struct Core;
  std::vector<std::unique_ptr<Core>> cores_;
};

}  // namespace millrace::cli
