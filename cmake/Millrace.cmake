# One call a folder: what it is made of and what it may know.
#
#   millrace_library(base SOURCES log.cpp DEPENDS fmt::fmt)
#   millrace_test(base SOURCES log_test.cpp [DEPENDS ...])
#   millrace_fuzz(NAME startup SOURCES startup_fuzz.cpp CORPUS corpus/startup DEPENDS millrace::pgwire
#                 [DEFINES NAME="value"] [SECONDS 5])
#
# A folder sees only the folders that it declares (each library's include path holds that one folder), so an
# arrow that isn't declared doesn't compile.

option(MILLRACE_TESTS "Build the tests" ON)
option(MILLRACE_FUZZ "Build the fuzz targets (clang's libFuzzer)" OFF)
option(MILLRACE_WERROR "Treat warnings as errors" ON)
set(MILLRACE_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "Millrace needs clang 19 or newer (g++ 12 miscompiles coroutines): use a preset, such as 'cmake --preset dev'")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# -fPIC for executables too (not -fPIE): all share one precompiled header.
add_compile_options(-fPIC -fno-omit-frame-pointer "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
# Asio's own code is compiled once, in cmake/pch.cpp; the precompiled header must agree.
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_ARRAY)
add_link_options(-fuse-ld=lld-19)
if(MILLRACE_SANITIZE)
  add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
endif()
if(MILLRACE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)
if(MILLRACE_WERROR)
  list(APPEND warnings -Werror)
endif()

add_library(millrace_pch STATIC ${CMAKE_CURRENT_SOURCE_DIR}/cmake/pch.cpp)
target_precompile_headers(millrace_pch PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/cmake/pch.hpp)

function(millrace_target target)
  target_compile_options(${target} PRIVATE ${warnings})
  target_link_libraries(${target} PRIVATE millrace_pch)
  get_target_property(sources ${target} SOURCES)
  if(sources MATCHES "\\.cpp")
    target_precompile_headers(${target} REUSE_FROM millrace_pch)
  endif()
endfunction()

function(millrace_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(millrace_${name} STATIC ${arg_SOURCES})
  add_library(millrace::${name} ALIAS millrace_${name})
  set(room ${CMAKE_BINARY_DIR}/rooms/${name})
  file(MAKE_DIRECTORY ${room})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${room}/${name} SYMBOLIC)
  target_include_directories(millrace_${name} PUBLIC ${room})
  target_link_libraries(millrace_${name} PUBLIC ${arg_DEPENDS})
  millrace_target(millrace_${name})
endfunction()

function(millrace_executable target)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE ${arg_DEPENDS})
  millrace_target(${target})
endfunction()

function(millrace_test name)
  if(NOT MILLRACE_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  millrace_executable(${name}_test SOURCES ${arg_SOURCES} DEPENDS millrace::${name} ${arg_DEPENDS} GTest::gtest_main)
  gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 120)
endfunction()

function(millrace_fuzz)
  if(NOT MILLRACE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(arg "" "NAME;CORPUS;SECONDS" "SOURCES;DEPENDS;DEFINES" ${ARGN})
  if(NOT arg_SECONDS)
    set(arg_SECONDS 5)
  endif()
  millrace_executable(fuzz_${arg_NAME} SOURCES ${arg_SOURCES} DEPENDS ${arg_DEPENDS})
  target_compile_definitions(fuzz_${arg_NAME} PRIVATE ${arg_DEFINES})
  target_link_options(fuzz_${arg_NAME} PRIVATE -fsanitize=fuzzer)
  set_property(GLOBAL APPEND PROPERTY MILLRACE_FUZZ_TARGETS fuzz_${arg_NAME})
  add_test(NAME fuzz.${arg_NAME}
    COMMAND fuzz_${arg_NAME} -max_total_time=${arg_SECONDS} -timeout=10 -rss_limit_mb=2048 -print_final_stats=0
      ${CMAKE_BINARY_DIR}/fuzz/${arg_NAME} ${CMAKE_CURRENT_SOURCE_DIR}/${arg_CORPUS})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz/${arg_NAME})
  set_tests_properties(fuzz.${arg_NAME} PROPERTIES TIMEOUT 60 LABELS fuzz)
endfunction()
