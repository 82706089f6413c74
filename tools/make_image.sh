#!/usr/bin/env bash
# Build the sandbox's image from this checkout without a container engine, as root, with Debian's buildah and debootstrap.
# It prints the path of an archive that `docker load` and `podman load` take.
#
#   tools/make_image.sh [FOLDER]     FOLDER keeps the base and the layers; build/image by default
set -euo pipefail
cd "$(dirname "$0")/.."

suite=trixie
folder=${1:-build/image}
mkdir -p "$folder"
folder=$(realpath "$folder")
python=${PYTHON:-.venv/bin/python}
# The layers are plain folders, because an overlay is not possible in every container.
buildah=(buildah --storage-driver vfs --root "$folder/store" --runroot "$folder/run")

if ! "${buildah[@]}" inspect --type image "localhost/$suite" >/dev/null 2>&1; then
  rm -rf "$folder/root"
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    "$suite" "$folder/root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
  base=$("${buildah[@]}" from scratch)
  "${buildah[@]}" add --quiet "$base" "$folder/root" / >&2
  "${buildah[@]}" commit --quiet --rm "$base" "localhost/$suite" >&2
  rm -rf "$folder/root"
fi

rm -rf "$folder/context"
"$python" -m build --wheel --outdir "$folder/context" >&2
cp deploy/Dockerfile "$folder/context"
wheel=$(basename "$folder"/context/*.whl)

# The certificates and the pip configuration of this machine, for the build alone.
mounts=()
for path in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip"; do
  [ ! -e "$path" ] || mounts+=(--volume "$path:${path/#$HOME//root}:ro")
done
"${buildah[@]}" build --isolation chroot --format docker "${mounts[@]}" \
  --build-arg "BASE=localhost/$suite" --build-arg "SOURCE=/tmp/wheels/$wheel" --tag mcn-mock "$folder/context" >&2

rm -f "$folder/mcn-mock.tar"
"${buildah[@]}" push --quiet mcn-mock "docker-archive:$folder/mcn-mock.tar:mcn-mock:latest" >&2
echo "$folder/mcn-mock.tar"
