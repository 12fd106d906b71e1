# One call a folder: what it is made of and what it may know.
#
#   millrace_library(base SOURCES log.cpp DEPENDS fmt::fmt)
#   millrace_test(base SOURCES log_test.cpp [DEPENDS ...] [THREADS])
#   millrace_fuzz(pgwire SOURCES fuzz/find_subject.cpp DEPENDS millrace::pgwire SUBJECTS startup bind [CORPUS corpus]
#                 [RUNS 2000])
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

# -fPIC for executables too (not -fPIE): all share one precompiled header.
set(options -fPIC -fno-omit-frame-pointer)
if(MILLRACE_SANITIZE)
  list(APPEND options -fsanitize=${MILLRACE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
endif()
if(MILLRACE_FUZZ)
  list(APPEND options -fsanitize=fuzzer-no-link)
endif()
# Asio's own code is compiled once, in cmake/pch.cpp; the precompiled header must agree.
list(APPEND options -DBOOST_ASIO_SEPARATE_COMPILATION -DBOOST_ASIO_NO_DEPRECATED -DBOOST_ASIO_DISABLE_BOOST_ARRAY)
add_compile_options(${options})
add_link_options(-fuse-ld=lld-19)

include(${CMAKE_CURRENT_LIST_DIR}/PrecompiledHeader.cmake)
millrace_precompiled_header(cmake/pch.hpp OPTIONS ${options})

set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)
if(MILLRACE_WERROR)
  list(APPEND warnings -Werror)
endif()

add_library(millrace_pch STATIC ${CMAKE_CURRENT_SOURCE_DIR}/cmake/pch.cpp)
millrace_use_precompiled_header(millrace_pch)

function(millrace_target target)
  target_compile_options(${target} PRIVATE ${warnings})
  target_link_libraries(${target} PRIVATE millrace_pch)
  millrace_use_precompiled_header(${target})
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

add_custom_target(unit_tests)
# What the tests labelled `threads` need, and no more.
add_custom_target(threads)

# THREADS: what it tests runs on several threads, so it is run under ThreadSanitizer too.
function(millrace_test name)
  if(NOT MILLRACE_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "THREADS" "" "SOURCES;DEPENDS" ${ARGN})
  millrace_executable(${name}_test SOURCES ${arg_SOURCES} DEPENDS millrace::${name} ${arg_DEPENDS} GTest::gtest_main)
  add_dependencies(unit_tests ${name}_test)
  # One process a room: one a case took longer to start than to run. A case that hangs is the last one named.
  add_test(NAME ${name}.unit COMMAND ${name}_test WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name}.unit PROPERTIES TIMEOUT 300)  # under a sanitizer beside other work
  if(arg_THREADS)
    set_tests_properties(${name}.unit PROPERTIES LABELS threads)
    add_dependencies(threads ${name}_test)
  endif()
endfunction()

# ROOM_fuzz takes its subject as its first argument. The corpus (corpus/SUBJECT, or CORPUS where there is none) is
# replayed, and RUNS more inputs made of it, always the same ones: tools/fuzz looks for others.
function(millrace_fuzz room)
  if(NOT MILLRACE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(arg "" "CORPUS;RUNS" "SOURCES;DEPENDS;SUBJECTS" ${ARGN})
  if(NOT arg_RUNS)
    set(arg_RUNS 2000)
  endif()
  millrace_executable(${room}_fuzz SOURCES ${PROJECT_SOURCE_DIR}/src/base/fuzz/main.cpp ${arg_SOURCES} DEPENDS ${arg_DEPENDS})
  target_link_options(${room}_fuzz PRIVATE -fsanitize=fuzzer)
  foreach(subject IN LISTS arg_SUBJECTS)
    set(corpus corpus/${subject})
    if(arg_CORPUS AND NOT IS_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/${corpus})
      set(corpus ${arg_CORPUS})
    endif()
    # By a list: to a folder libFuzzer adds what it finds.
    file(GLOB inputs CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${corpus}/*)
    string(REPLACE ";" "," inputs "${inputs}")
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${subject}.inputs "${inputs}")
    add_test(NAME ${room}.fuzz.${subject}
      COMMAND ${room}_fuzz ${subject} -verbosity=0 -print_funcs=0 -seed=1 -runs=${arg_RUNS} -max_total_time=20 -timeout=10 -rss_limit_mb=2048
        -seed_inputs=@${CMAKE_CURRENT_BINARY_DIR}/${subject}.inputs)
    set_tests_properties(${room}.fuzz.${subject} PROPERTIES TIMEOUT 60 LABELS fuzz)
  endforeach()
endfunction()
