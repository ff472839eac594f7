#!/bin/sh
# report.sh COMPILER ... -o OBJECT ...: compiles, and keeps beside the object what the compiler said (OBJECT.log: ptxas'
# registers and spills among it) and the PTX that nvcc made (in OBJECT.keep). What is not ptxas' report is shown too.
object=
previous=
for argument in "$@"; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
case $object in
*.cu.o)
  rm -rf "$object.keep"
  mkdir -p "$object.keep"
  set -- "$@" --keep --keep-dir "$object.keep"
  ;;
esac

"$@" >"$object.log" 2>&1
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' "$object.log" >&2
# What else nvcc keeps is large.
[ ! -d "$object.keep" ] || find "$object.keep" -type f ! -name '*.ptx' -delete
exit "$status"
