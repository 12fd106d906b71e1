# Writes commit.hpp, if the commit is another than when it was last written: cmake -DSOURCE=... -DOUT=... -P commit.cmake
cmake_minimum_required(VERSION 3.25)
set(ENV{GIT_OPTIONAL_LOCKS} 0)
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY
  CONTENT "#pragma once\n\nnamespace millrace::cli {\n\ninline constexpr char commit[] = \"@commit@\";\n\n}  // namespace millrace::cli\n")
