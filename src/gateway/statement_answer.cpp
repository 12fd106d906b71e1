#include "gateway/statement_answer.hpp"

#include <algorithm>
#include <utility>

namespace millrace::gateway {
namespace {

namespace backend_type = pgwire::backend;
using pgwire::Bytes;
using pgwire::header_size;

/// Larger messages are counted.
constexpr std::size_t large = 64 * 1024;

}  // namespace

Error error_of(Bytes error_response_body) {
  const auto notice = pgwire::decode_notice(error_response_body);
  if (!notice) return Error{.message = "the server sent a malformed error", .sqlstate = "08P01"};
  return Error{.message = std::string(notice->message()),
               .sqlstate = std::string(notice->sqlstate()),
               .hint = std::string(notice->find('H')),
               .detail = std::string(notice->find('D'))};
}

bool StatementAnswer::read(Bytes bytes) {
  bool fits = true;
  while (!bytes.empty()) {
    if (skipped_ > 0) {
      const auto part = std::min<std::uint64_t>(skipped_, bytes.size());
      skipped_ -= part;
      bytes = bytes.subspan(part);
      continue;
    }
    const auto take = [&](std::size_t count) {
      count = std::min(count, bytes.size());
      partial_.append(pgwire::as_text(bytes.first(count)));
      bytes = bytes.subspan(count);
    };
    const bool begins = partial_.empty();
    if (!begins && partial_.size() < header_size) take(header_size - partial_.size());
    const Bytes known = begins ? bytes : pgwire::as_bytes(partial_);
    if (known.size() < header_size) {
      if (begins) take(bytes.size());
      return fits;
    }
    const auto header = pgwire::load_header(known);
    const std::size_t total = header.total();
    if (header.type == backend_type::data_row && drops_) lacks_rows_ = true;
    if (!is_wanted(header.type)) {
      skipped_ = total - std::exchange(partial_, {}).size();
      continue;
    }
    if (begins && bytes.size() >= total) {
      on_message(bytes.first(total));
      bytes = bytes.subspan(total);
      continue;
    }
    if (total > large && partial_.capacity() < total) {
      if (!hold(held_ + total)) {
        fits = false;
        lacks_rows_ = true;
        skipped_ = total - std::exchange(partial_, {}).size();
        drop_rows();
        continue;
      }
      partial_.reserve(total);
    }
    take(total - partial_.size());
    if (partial_.size() < total) return fits;
    std::string message = std::exchange(partial_, {});
    if (header.type == backend_type::data_row && rows_.empty()) {
      rows_ = std::move(message);
    } else {
      on_message(pgwire::as_bytes(message));
    }
  }
  return fits;
}

std::string StatementAnswer::take_rows() {
  std::string taken = std::exchange(rows_, {});
  const bool begun = partial_.size() >= header_size;
  const std::size_t total = begun ? pgwire::load_header(pgwire::as_bytes(partial_)).total() : 0;
  hold(total > large ? total : 0);
  return taken;
}

void StatementAnswer::drop_rows() {
  if (!take_rows().empty()) lacks_rows_ = true;
  drops_ = true;
  if (partial_.size() < header_size || partial_.front() != backend_type::data_row) return;
  lacks_rows_ = true;
  skipped_ = pgwire::load_header(pgwire::as_bytes(partial_)).total() - partial_.size();
  partial_ = {};
  hold(0);
}

bool StatementAnswer::is_wanted(char type) const {
  switch (type) {
    case backend_type::data_row:
      return !drops_;
    case backend_type::row_description:
    case backend_type::command_complete:
    case backend_type::empty_query_response:
    case backend_type::error_response:
    case backend_type::copy_out_response:
      return true;
    default:
      return false;
  }
}

void StatementAnswer::on_message(Bytes message) {
  const Bytes body = message.subspan(header_size);
  switch (static_cast<char>(message.front())) {
    case backend_type::data_row:
      rows_.append(pgwire::as_text(message));
      break;
    case backend_type::row_description:
      columns = pgwire::as_text(body);
      break;
    case backend_type::command_complete:
      if (const auto complete = pgwire::decode_command_complete(body)) {
        tag = complete->tag;
        rows = complete->rows;
      }
      break;
    case backend_type::empty_query_response:
      tag.emplace();
      break;
    case backend_type::error_response:
      if (!error) error = error_of(body);
      break;
    case backend_type::copy_out_response:
      copies_out = true;
      break;
    default:
      break;
  }
}

/// False: all would hold too much.
bool StatementAnswer::hold(std::size_t bytes) {
  if (bytes > held_ && by_all_.now.fetch_add(bytes - held_) + bytes - held_ > by_all_.most) {
    by_all_.now.fetch_sub(bytes - held_);
    return false;
  }
  if (bytes < held_) by_all_.now.fetch_sub(held_ - bytes);
  held_ = bytes;
  return true;
}

}  // namespace millrace::gateway
