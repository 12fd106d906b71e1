#pragma once

#include "pgwire/protocol/frame.hpp"

namespace millrace::integration::fuzz {

/// Messages of a change stream, each after two bytes of length; the highest bit says that only its beginning is there.
/// Aborts where what is told of a transaction doesn't fit together, or memory isn't given back.
void transactions(pgwire::Bytes input);

/// The body of a CopyData message.
void copy_data(pgwire::Bytes input);

/// What a server sends from START_REPLICATION on. Aborts where it matters how the bytes were cut when they came.
void framing(pgwire::Bytes input);

}  // namespace millrace::integration::fuzz
