# SPDX-License-Identifier: LGPL-2.1-or-later
# Writes OUTPUT, a C++ file with the dashboard's page: what stands before the data in it, and what after.
# SOURCE is the folder of index.html, dashboard.css and dashboard.js. The page lets run only the script and the style
# whose SHA-256 stands in it, so that nothing in the data can.

# The base64 of the SHA-256 of TEXT, as a Content-Security-Policy has it.
function(hash_of text result)
  set(letters "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  string(SHA256 hex "${text}")
  set(base64 "")
  foreach(start RANGE 0 60 6)  # 32 bytes: ten groups of three, and the last two bytes with a zero
    string(SUBSTRING "${hex}00" ${start} 6 group)
    foreach(shift 18 12 6 0)
      math(EXPR index "(0x${group} >> ${shift}) & 63")
      string(SUBSTRING "${letters}" ${index} 1 letter)
      string(APPEND base64 "${letter}")
    endforeach()
  endforeach()
  string(SUBSTRING "${base64}" 0 43 base64)
  set(${result} "${base64}=" PARENT_SCOPE)
endfunction()

file(READ "${SOURCE}/index.html" page)
file(READ "${SOURCE}/dashboard.css" style)
file(READ "${SOURCE}/dashboard.js" script)
hash_of("${style}" style_hash)
hash_of("${script}" script_hash)
string(REPLACE "@STYLE_HASH@" "${style_hash}" page "${page}")
string(REPLACE "@SCRIPT_HASH@" "${script_hash}" page "${page}")
string(FIND "${page}" "@DATA@" at)
string(SUBSTRING "${page}" 0 ${at} before)
math(EXPR at "${at} + 6")
string(SUBSTRING "${page}" ${at} -1 after)
string(REPLACE "@STYLE@" "${style}" before "${before}")
string(REPLACE "@SCRIPT@" "${script}" after "${after}")
file(WRITE "${OUTPUT}.new" "#include \"dashboard.h\"\n\nnamespace perfcore::cli {\n
const std::string_view kPageBeforeData = R\"__page__(${before})__page__\";\n
const std::string_view kPageAfterData = R\"__page__(${after})__page__\";\n
}  // namespace perfcore::cli\n")
file(RENAME "${OUTPUT}.new" "${OUTPUT}")
