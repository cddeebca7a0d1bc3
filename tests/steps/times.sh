# shellcheck shell=bash
# Rust tests whose subject is real time, one at a time, with a witness of how busy the machine is
# limit: 2400
need_rust
. tests/kit/witnessed.sh
settings=$(tests/install/postgres.sh)
eval "$settings"
for suite in api faults guardian stores; do
  must witnessed "$suite" timed:: --test-threads=1
done
must witnessed faults kills:: --test-threads=1
