# Writes the first 16 digits of a hash over SOURCES into the header OUT.
set(all "")
foreach(source ${SOURCES})
  file(SHA256 ${source} one)
  string(APPEND all ${one})
endforeach()
string(SHA256 hash "${all}")
string(SUBSTRING ${hash} 0 16 hash)
file(WRITE ${OUT} "#define CLUSTERD_CORE_HASH \"${hash}\"\n")
