# The compiler cache, and one precompiled header that it can see through: the same commit built in another folder is
# served from the cache.
#
#   millrace_precompiled_header(cmake/pch.hpp OPTIONS -fPIC ...)   # once; OPTIONS are what every target compiles with
#   millrace_use_precompiled_header(target)
#
# CMake's own target_precompile_headers writes the build folder's path into the header, into every command line and
# so into every object's hash. Here every path is relative to the build folder, in which Ninja runs all compilers, and
# beside `pch.hpp.pch` lies `pch.hpp.pch.sum`, which ccache hashes in its place (CCACHE_PCH_EXTSUM): the content of
# every file that went into the header, system headers too, and the flags.

if(NOT CMAKE_GENERATOR MATCHES "Ninja")
  message(FATAL_ERROR "Millrace is built with Ninja: use a preset, such as 'cmake --preset dev'")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # BASEDIR makes paths below the source relative; NOHASHDIR leaves the build folder out of the hash, which is right
  # since -ffile-compilation-dir leaves it out of the object.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_PCH_EXTSUM=1 CCACHE_NOHASHDIR=1
    CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# Sources are found from the source folder: a debugger that is started there shows them.
file(RELATIVE_PATH compilation_dir ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
add_compile_options(-ffile-compilation-dir=${compilation_dir})

function(millrace_precompiled_header header)
  cmake_parse_arguments(arg "" "" "OPTIONS" ${ARGN})
  string(TOUPPER "${CMAKE_BUILD_TYPE}" config)
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${config}}")
  list(APPEND flags ${CMAKE_CXX${CMAKE_CXX_STANDARD}_STANDARD_COMPILE_OPTION} ${arg_OPTIONS})
  cmake_path(GET header FILENAME name)
  cmake_path(ABSOLUTE_PATH header)
  file(RELATIVE_PATH relative_header ${CMAKE_BINARY_DIR} ${header})
  add_custom_command(OUTPUT ${name}.pch BYPRODUCTS ${name}.pch.sum
    COMMAND ${CMAKE_CXX_COMPILER} ${flags} -ffile-compilation-dir=${compilation_dir} -Xclang -fno-pch-timestamp
      -x c++-header ${relative_header} -o ${name}.pch -MD -MT ${name}.pch -MF ${name}.pch.d
    COMMAND ${CMAKE_COMMAND} "-DDEPENDENCIES=${name}.pch.d" "-DFLAGS=${flags}" -DOUT=${name}.pch.sum
      -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/precompiled_header_sum.cmake
    DEPENDS ${header} ${CMAKE_CXX_COMPILER} DEPFILE ${name}.pch.d
    WORKING_DIRECTORY ${CMAKE_BINARY_DIR} COMMENT "Precompiling ${name}" VERBATIM)
  add_custom_target(precompiled_header DEPENDS ${CMAKE_BINARY_DIR}/${name}.pch)
  set_property(GLOBAL PROPERTY MILLRACE_PRECOMPILED_HEADER ${name}.pch)
endfunction()

function(millrace_use_precompiled_header target)
  get_property(pch GLOBAL PROPERTY MILLRACE_PRECOMPILED_HEADER)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include-pch ${pch}>")
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  if(sources)
    set_property(SOURCE ${sources} APPEND PROPERTY OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/${pch})
    add_dependencies(${target} precompiled_header)
  endif()
endfunction()
