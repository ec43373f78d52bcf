#!/bin/sh
# Makes a CA, the TLS certificates of both sides, and the manifests of an issuer that uses the signer. Usage: setup.sh FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/manifests"
cd "$1"
cp "$here/openssl.cnf" .
touch index.txt

# ca NAME SUBJECT: a self-signed CA. leaf NAME CA SUBJECT EXTENSIONS: a certificate below it.
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }
ca() {
  key "$1"
  openssl req -x509 -key "$1.key" -out "$1.crt" -subj "$2" -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign
}
leaf() {
  key "$1"
  openssl req -new -key "$1.key" -subj "$3" -out "$1.csr"
  printf '%s\n' "$4" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 365 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}
ca ca '/CN=Example signer CA'
ca server-ca '/CN=Example server CA'
ca client-ca '/CN=Example client CA'
leaf server server-ca '/CN=localhost' 'subjectAltName=DNS:localhost,IP:127.0.0.1'
leaf client client-ca '/CN=countersign' 'extendedKeyUsage=clientAuth'

indented() { sed 's/^/        /' "$1"; }
cat >manifests/webhook.yaml <<YAML
apiVersion: v1
kind: Secret
metadata: { name: signer-client, namespace: countersign-system }
type: kubernetes.io/tls
stringData:
    tls.crt: |
$(indented client.crt)
    tls.key: |
$(indented client.key)
---
apiVersion: countersign.dev/v1alpha1
kind: ClusterCAIssuer
metadata: { name: webhook }
spec:
  backend:
    webhook:
      url: https://localhost:${PORT:-8444}/sign
      authentication: { clientCertificateRef: { name: signer-client } }
      # The CA of the signer's own TLS certificate.
      caBundle: |
$(indented server-ca.crt)
      # What it signs must lead to one of these.
      trustAnchors: |
$(indented ca.crt)
---
apiVersion: countersign.dev/v1alpha1
kind: CertificateRequestPolicy
metadata: { name: webhook }
spec:
  selector: { issuerRef: { name: webhook } }
  allowed: { dnsNames: { values: ["**.example.test", "localhost"] } }
YAML
echo "made $1: start signer.ts there, and countersign dev --manifests $1/manifests"
