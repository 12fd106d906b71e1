#pragma once

#include <span>
#include <string_view>

/// The page that Millrace shows, as Vite built it. In the program, so that nothing has to be installed beside it.
namespace millrace::page {

struct File {
  std::string_view path;  ///< "/"; "/assets/index-C3hWtwB6.js"
  std::string_view media_type;
  std::string_view content;
  std::string_view gzipped;  ///< the same, by gzip
  std::string_view etag;     ///< of the content, in quotes
  bool immutable;            ///< its path changes with its content
};

std::span<const File> files();

}  // namespace millrace::page
