#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/container/small_vector.hpp>

#include "gateway/client_reader.hpp"
#include "pipeline/exchange.hpp"

namespace millrace::gateway {

/// Goes through a batch of extended messages that is to be answered without the server: from its first message up to
/// its Sync, or to a Flush; all of it, or none. Who answers it says what is said to each message. One for each batch;
/// not thread-safe.
class BatchWalk {
 public:
  using Exchanges = boost::container::small_vector<pipeline::Exchange, 2>;

  BatchWalk(const BatchWalk&) = delete;
  BatchWalk& operator=(const BatchWalk&) = delete;

  /// `in` begins with the batch. Answers how many bytes of it were answered, and appends the answer to `out`; 0: it
  /// can't be, and nothing has changed.
  std::size_t answer(pgwire::Bytes in, std::string& out);
  /// It was given up where its next message isn't all there.
  bool lacks_its_end() const { return lacks_its_end_; }
  /// Of the transaction, behind it.
  char status() const { return status_; }
  /// Whether the unnamed portal isn't the server's any more.
  bool changes_portal() const { return portal_changed_; }
  /// What it has executed.
  Exchanges& exchanges() { return exchanges_; }

 protected:
  /// `status`: of the transaction that it begins in, as ReadyForQuery says it.
  explicit BatchWalk(char status) : status_(status) {}
  ~BatchWalk() = default;

  // The answer is appended to `out()`. False: it can't be answered here.
  virtual bool parse(pgwire::Bytes body) = 0;
  virtual bool bind(const ClientReader::Item& item) = 0;
  virtual bool describe(pgwire::Bytes body) = 0;
  virtual bool execute(const ClientReader::Item& item) = 0;
  virtual bool close_statement(std::string_view name) = 0;
  /// Whether a message of this type may come now.
  virtual bool may_follow(char /*type*/) const { return true; }

  enum class Portal : std::uint8_t { none, unfinished, finished };
  /// The unnamed one, which this batch has bound.
  virtual Portal portal() const = 0;
  virtual void drop_portal() = 0;
  /// All of it is answered. True: the session is made what it would be; false: it can't be answered after all.
  virtual bool apply() = 0;

  std::string& out() { return *out_; }

  char status_;
  bool portal_changed_ = false;
  Exchanges exchanges_;

 private:
  bool take(const ClientReader::Item& item);
  bool close(pgwire::Bytes body);
  bool sync();

  std::string* out_ = nullptr;
  bool lacks_its_end_ = false;
};

}  // namespace millrace::gateway
