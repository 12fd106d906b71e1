#include "backend/duckdb_library.hpp"

#include <dlfcn.h>

#include "backend/duckdb.hpp"

namespace millrace::backend {
namespace {

constexpr const char* file_name = "libduckdb.so";

std::unexpected<Error> not_loaded() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's is a thread's own
  const char* const why = dlerror();
  return fail("DuckDB's library can't be loaded", std::string(duckdb_error::no_library),
              "It is sought where the program was built, in ../lib/millrace beside it, and where libraries are.",
              why == nullptr ? file_name : why);
}

template <typename F>
bool find(void* library, const char* name, F& function) {
  // A function's address comes as that of an object: POSIX guarantees that it can be made one again.
  function = reinterpret_cast<F>(dlsym(library, name));  // NOLINT
  return function != nullptr;
}

Result<DuckDbLibrary> load() {
  // Local: its many C++ symbols are nobody's here. It is found by the program's RUNPATH (cmake/Dependencies.cmake).
  void* const library = dlopen(file_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return not_loaded();
  DuckDbLibrary functions{};
#define MILLRACE_FIND(name) \
  if (!find(library, "duckdb_" #name, functions.name)) return not_loaded();
  MILLRACE_DUCKDB_FUNCTIONS(MILLRACE_FIND)
#undef MILLRACE_FIND
  return functions;
}

}  // namespace

Result<const DuckDbLibrary*> duckdb_library() {
  static const Result<DuckDbLibrary> loaded = load();
  if (!loaded) return std::unexpected(loaded.error());
  return &*loaded;
}

}  // namespace millrace::backend
