#!/usr/bin/env bash
# Make an authority and a certificate of the SuperLink, for a test or a network of your own.
#
#   SUPERLINK_IP=192.0.2.7 SUPERLINK_NAME=hub.example.org certificates.sh [FOLDER]
#
# The certificate is for "superlink" (the name in a compose network), localhost, and those two if they are set.
# As root the key is given to user 49999, who serves with it.
set -euo pipefail
folder=${1:-$(dirname "$0")/certificates}
names="DNS:superlink,DNS:localhost,IP:127.0.0.1,IP:::1"
[ -z "${SUPERLINK_IP:-}" ] || names+=",IP:$SUPERLINK_IP"
[ -z "${SUPERLINK_NAME:-}" ] || names+=",DNS:$SUPERLINK_NAME"

if [ -e "$folder/ca.key" ]; then
  echo "$folder has certificates already; remove it to make new ones." >&2
  exit 1
fi
umask 077
mkdir -p "$folder"
cd "$folder"
trap 'rm -f ca.key ca.crt ca.srl server.key server.csr server.ext server.pem' ERR # so that the next attempt begins anew
quietly() {
  local said
  said=$("$@" 2>&1) || {
    echo "$said" >&2
    return 1
  }
}
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256)
quietly openssl req -x509 "${key[@]}" -days 365 -subj "/CN=Wildflower test authority" \
  -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt
quietly openssl req "${key[@]}" -subj "/CN=superlink" -keyout server.key -out server.csr
printf '%s\n' "subjectAltName=$names" extendedKeyUsage=serverAuth basicConstraints=CA:FALSE \
  keyUsage=critical,digitalSignature subjectKeyIdentifier=hash authorityKeyIdentifier=keyid >server.ext
quietly openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -sha256 -out server.pem \
  -extfile server.ext
rm server.csr server.ext
chmod 755 .
chmod 644 ca.crt server.pem
if [ "$(id -u)" = 0 ]; then
  chown 49999:49999 server.key
else
  echo "The SuperLink in its container has to read the key: sudo chown 49999:49999 $folder/server.key"
fi
echo "$folder: ca.crt for everybody, server.pem and server.key for the SuperLink; keep ca.key away from the network"
