# cmake -DDEPENDENCIES=pch.d -DFLAGS="..." -DOUT=pch.sum -P precompiled_header_sum.cmake
# Writes what stands for a precompiled header in the compiler cache: a hash of the flags and of the content of every
# file that went into it.
file(READ ${DEPENDENCIES} files)
string(REGEX REPLACE "^[^:]*:" "" files "${files}")
string(REPLACE "\\\n" " " files "${files}")
separate_arguments(files UNIX_COMMAND "${files}")
set(all "${FLAGS}\n")
foreach(file IN LISTS files)
  file(SHA256 ${file} hash)
  string(APPEND all "${hash}\n")
endforeach()
string(SHA256 sum "${all}")
file(WRITE ${OUT} "${sum}\n")
