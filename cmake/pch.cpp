// The precompiled header is built with this file and reused by every target. It names Asio, so whatever uses it needs
// Asio's own code, which is compiled once, here (BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/impl/src.hpp>
