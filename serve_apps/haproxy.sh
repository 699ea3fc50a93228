#!/bin/sh
# Named by RAY_SERVE_HAPROXY_BINARY_PATH; called as: -db -f CONFIG [-dR] [-sf PID...]. Ray's template has no setting for:
# - the metrics and statistics pages, which it binds to every interface;
# - the fallback to Serve's Python proxy, which holds requests without bound while a version has no replica, where
#   the gateway wants a refusal at once (its 503 with Retry-After);
# - the life of HAProxy, which outlasts the actor that started it and keeps the port.
set -eu
if [ "${2-}" = "-f" ]; then
    sed -i -E -e '/^frontend prometheus/,/^frontend http/ s/^( *bind) +:/\1 127.0.0.1:/' \
        -e '/^listen stats/,$ s/^( *bind) +\*:/\1 127.0.0.1:/' \
        -e '/^ *server .* check backup$/d' "$3"
fi
exec setpriv --pdeathsig KILL "$BIPLANE_HAPROXY" "$@"
