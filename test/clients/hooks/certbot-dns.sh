#!/usr/bin/env bash
# certbot --manual-auth-hook "…/certbot-dns.sh present" --manual-cleanup-hook "…/certbot-dns.sh cleanup"
set -euo pipefail
curl --silent --show-error --fail --data "{\"fqdn\":\"_acme-challenge.$CERTBOT_DOMAIN.\",\"value\":\"$CERTBOT_VALIDATION\"}" "$DNS_URL/$1"
