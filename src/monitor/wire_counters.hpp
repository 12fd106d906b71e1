#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>

#include "monitor/counter.hpp"

namespace millrace {

/// What the wire port counts, once a core; the gateway and the pools add, each on its core's thread only.
///
/// `WireCounters` is the live form, `WireTotals` the sum over the cores. The first group goes up and down (numbers of
/// now), the second only up (numbers since the start).
template <typename Cell>
struct BasicWireCounters {
  Cell clients_connected;  ///< logged in or logging in
  Cell clients_active;     ///< hold a server connection
  Cell clients_waiting;    ///< wait for a server connection
  Cell servers_idle;
  Cell servers_active;

  Cell clients_total;
  Cell clients_refused;  ///< over the limit of clients
  Cell logins_failed;
  Cell servers_opened;
  Cell servers_closed;
  Cell servers_failed;  ///< could not be reached, or refused the log-in
  Cell servers_moved;   ///< from one I/O thread to another
  Cell pool_waits;      ///< found no free server connection at once
  Cell pool_timeouts;   ///< waited for one in vain
  Cell cancels;         ///< requests of clients, with a key that somebody has
  Cell protocol_errors;
  Cell bytes_from_clients;
  Cell bytes_to_clients;
  Cell statements_parsed;
  Cell memo_hits;
  Cell memo_misses;
  Cell cache_hits;      ///< statements that were answered from memory
  Cell cache_misses;    ///< might have been, and weren't there
  Cell cache_bypasses;  ///< were asked for by who wants that, and may not be
  Cell retries;         ///< a server connection was tried to be had again for a query; or one was sent again

  BOOST_DESCRIBE_CLASS(BasicWireCounters, (),
                       (clients_connected, clients_active, clients_waiting, servers_idle, servers_active, clients_total,
                        clients_refused, logins_failed, servers_opened, servers_closed, servers_failed, servers_moved,
                        pool_waits, pool_timeouts, cancels, protocol_errors, bytes_from_clients, bytes_to_clients,
                        statements_parsed, memo_hits, memo_misses, cache_hits, cache_misses, cache_bypasses, retries),
                       (), ())
};

using WireCounters = BasicWireCounters<Counter>;
using WireTotals = BasicWireCounters<std::uint64_t>;

}  // namespace millrace
