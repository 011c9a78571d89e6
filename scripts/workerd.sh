#!/bin/sh
# Becomes workerd (WORKERD_BINARY), and ends it within a second once the process that started it is gone: killed with
# SIGKILL that one cannot do so itself, and workerd would go on holding the port and the databases.
parent=$PPID
self=$$
(
  trap '' HUP INT TERM
  while kill -0 "$parent" && kill -0 "$self"; do sleep 1; done
  kill -9 "$self"
) <&- >/dev/null 2>&1 3>&- &
exec "$WORKERD_BINARY" "$@"
