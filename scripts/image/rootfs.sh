#!/bin/sh
# rootfs.sh PROGRAM FOLDER: puts the program into FOLDER at its path, with all it needs to run there, and what scanners want to know:
# which distribution and which packages that is (as distroless images tell it, a file a package in var/lib/dpkg/status.d).
set -eu
program=$1
root=$2

mkdir -p "$root/etc" "$root/var/lib/dpkg/status.d" "$root$(dirname "$program")"
cp -L "$program" "$root$program"
chmod 0755 "$root$program"

# Libraries, and the loader itself, at the paths where the loader looks.
ldd "$program" | sed -n 's/^.* => \(\/[^ ]*\) (.*$/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*$/\1/p' | sort -u >"$root/libraries"
while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
  # A package may list the file on either side of the merge of /lib into /usr/lib.
  for path in "$library" "/usr$library" "${library#/usr}"; do
    dpkg-query --search "$path" 2>/dev/null || true
  done
done <"$root/libraries" | sed 's/:.*//' | sort -u | while read -r package; do
  dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
  copyright=/usr/share/doc/$package/copyright
  if [ -e "$copyright" ]; then
    mkdir -p "$root$(dirname "$copyright")"
    cp -L "$copyright" "$root$copyright"
  fi
done
rm "$root/libraries"
[ -n "$(ls "$root/var/lib/dpkg/status.d")" ]

if [ -e /usr/local/LICENSE ]; then
  mkdir -p "$root/usr/share/doc/nodejs"
  cp /usr/local/LICENSE "$root/usr/share/doc/nodejs/copyright"
fi
cp -L /etc/os-release "$root/etc/os-release"
printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
mkdir -m 1777 "$root/tmp"

# It runs there, and does not look elsewhere.
chroot "$root" "$program" --version
