#!/usr/bin/env bash
# uacme --hook: begin|done|failed TYPE NAME TOKEN ANSWER. A wildcard is answered by dns-01, which is all it offers;
# everything else by http-01; another type is declined with 1, and uacme asks for the next.
set -euo pipefail
step=$1 type=$2 name=$3 token=$4 answer=$5
case "$type" in
  http-01)
    [[ $name != *wild* ]] || exit 1
    if [[ $step == begin ]]; then printf %s "$answer" >"$WEBROOT/$token"; else rm -f "$WEBROOT/$token"; fi
    ;;
  dns-01)
    [[ $name == *wild* ]] || exit 1
    if [[ $step == begin ]]; then path=present; else path=cleanup; fi
    curl --silent --show-error --fail --data "{\"fqdn\":\"_acme-challenge.$name.\",\"value\":\"$answer\"}" "$DNS_URL/$path"
    ;;
  *) exit 1 ;;
esac
