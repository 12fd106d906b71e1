# Everything here is a Debian 12 package or DuckDB's library, installed by tools/install.
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(OpenSSL 3.0 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(CURL REQUIRED)
if(MILLRACE_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

# PostgreSQL's own parser. Linked statically and hidden: the shared library exports symbols (XXH_*, pg_utf_mblen)
# that other libraries define too.
find_library(PG_QUERY_LIBRARY NAMES libpg_query.a REQUIRED)
find_library(PROTOBUF_C_LIBRARY NAMES protobuf-c REQUIRED)
find_path(PG_SERVER_INCLUDE nodes/parsenodes.h PATHS /usr/include/postgresql/15/server NO_DEFAULT_PATH REQUIRED)
add_library(pg_query INTERFACE)
target_link_libraries(pg_query INTERFACE ${PG_QUERY_LIBRARY} ${PROTOBUF_C_LIBRARY} Threads::Threads)
target_link_options(pg_query INTERFACE -Wl,--exclude-libs,libpg_query.a)

# Redis' client: the version that Debian 12 has (0.14) knows no TLS.
find_library(HIREDIS_LIBRARY NAMES hiredis REQUIRED)
find_path(HIREDIS_INCLUDE hiredis/hiredis.h REQUIRED)

# DuckDB: only its header is needed to build. Its library is loaded by who opens a file of it, and found by the
# program's RUNPATH: where tools/install puts it, or in lib/millrace beside the program's folder.
find_path(DUCKDB_INCLUDE duckdb.h PATHS ${PROJECT_SOURCE_DIR}/.millrace/duckdb/include NO_DEFAULT_PATH REQUIRED)
list(APPEND CMAKE_BUILD_RPATH ${PROJECT_SOURCE_DIR}/.millrace/duckdb/lib "$ORIGIN/../lib/millrace")
