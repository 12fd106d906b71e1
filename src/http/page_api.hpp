#pragma once

#include "http/router.hpp"

namespace millrace::http {

/// Adds the page at "/" and its files: for everybody, as they have no figures in them. What the page asks for is
/// guarded as it is for others.
void add_page(Router& router);

}  // namespace millrace::http
