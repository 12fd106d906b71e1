#include "gateway/batch_walk.hpp"

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {

namespace frontend = pgwire::frontend;
using pgwire::Bytes;
using pgwire::header_size;

std::size_t BatchWalk::answer(Bytes in, std::string& out) {
  out_ = &out;
  const std::size_t before = out.size();
  const auto give_up = [&]() -> std::size_t {
    out.resize(before);
    exchanges_.clear();
    return 0;
  };
  std::size_t at = 0;
  for (bool done = false; !done;) {
    const Bytes rest = in.subspan(at);
    const auto header = rest.size() < header_size ? pgwire::Header{0, 0} : pgwire::load_header(rest);
    const bool whole = header.valid() && rest.size() >= header.total();
    const ClientReader::Item item{
        .type = header.type, .message = whole ? rest.first(header.total()) : Bytes{}, .total = header.total()};
    lacks_its_end_ = !whole && (rest.size() < header_size || header.valid());
    if (!whole || !take(item)) return give_up();
    at += item.total;
    done = item.type == frontend::sync || item.type == frontend::flush;
  }
  return apply() ? at : give_up();
}

bool BatchWalk::take(const ClientReader::Item& item) {
  if (!may_follow(item.type)) return false;
  switch (item.type) {
    case frontend::parse:
      return parse(item.body());
    case frontend::bind:
      return bind(item);
    case frontend::describe:
      return describe(item.body());
    case frontend::execute:
      return execute(item);
    case frontend::close:
      return close(item.body());
    case frontend::flush:
      return portal() == Portal::none && item.total == header_size;
    case frontend::sync:
      return item.total == header_size && sync();
    default:
      return false;
  }
}

bool BatchWalk::close(Bytes body) {
  const auto target = pgwire::decode_close(body);
  if (!target) return false;
  if (target->what == 'P') {
    if (!target->name.empty()) return false;
    drop_portal();
    portal_changed_ = true;
  } else if (!close_statement(target->name)) {
    return false;
  }
  pgwire::append_close_complete(*out_);
  return true;
}

bool BatchWalk::sync() {
  // It may be executed later, or go on.
  if (status_ != 'I' && portal() == Portal::unfinished) return false;
  if (status_ == 'I') {
    drop_portal();
    portal_changed_ = true;
  }
  pgwire::append_ready_for_query(*out_, status_);
  return true;
}

}  // namespace millrace::gateway
