#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/entry.hpp"
#include "pipeline/payoff.hpp"

namespace millrace::pipeline {

/// An answer on its way from the server that is to be kept. Whoever passes it on adds its messages as they go by, and
/// says when it is complete (`Pipeline::complete`); whatever else happens, it is dropped. What it saw was seen before
/// the statement was sent, so that a change that its snapshot may have missed makes it stale.
struct Fill {
  std::string key;
  std::uint64_t hash = 0;
  std::vector<cache::Seen> seen;
  std::vector<std::string> tags;
  std::uint64_t fingerprint = 0;
  std::int64_t started_ns = 0;
  std::int64_t ttl_ns = 0;
  std::size_t most_bytes = 0;

  std::string head;  ///< RowDescription
  std::string body;
  std::uint64_t rows = 0;
  std::uint32_t first_rows = 0;  ///< the answer ends where the portal has stopped after so many; 0: at its end
  cache::Follows follows = cache::Follows::no;
  std::uint64_t columns = 0;  ///< of the result, as the gateway identifies them; 0: not known
  std::uint64_t meant = 0;    ///< as in cache::Entry
  bool dropped = false;
  Payoff* payoff = nullptr;                 ///< its template's; null: of what is no question of a client's
  std::int64_t beginning_took_ns = 0;       ///< 0: this one isn't measured
  bool may_lead = true;                     ///< others who ask the same may wait for it
  std::shared_ptr<const void> flight = {};  ///< of Flights: others wait for it; null: for somebody else's

  void add_head(std::string_view bytes) { add(head, bytes); }
  void add_body(std::string_view bytes) { add(body, bytes); }
  void drop() {
    dropped = true;
    flight.reset();
    head = {};
    body = {};
  }

 private:
  void add(std::string& to, std::string_view bytes) {
    if (dropped) return;
    if (head.size() + body.size() + bytes.size() > most_bytes) return drop();
    to.append(bytes);
  }
};

}  // namespace millrace::pipeline
