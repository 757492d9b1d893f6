#!/bin/bash
# Builds llama.cpp's llama-server (and ggml-rpc-server) from the source that the sdist of llama-cpp-python carries.
# usage: tests/llamacpp/build_server.sh [OUT_DIR]     OUT_DIR: default ~/.cache/hybrid_nb/llama
# About six minutes on two cores. Needs a C++ compiler and python3 with venv; cmake and ninja come from pip.
set -euo pipefail

version=0.3.36
out=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/hybrid_nb/llama}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# a build without a stamp is somebody's own, and is left alone
if [ -x "$out/llama-server" ] && [ "$(cat "$out/version" 2>/dev/null || echo $version)" = $version ]; then
  echo "$out/llama-server is already built"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install cmake ninja scikit-build-core pyproject-metadata pathspec
export PATH="$work/venv/bin:$PATH"
pip -q download --no-deps --no-binary llama-cpp-python --no-build-isolation -d "$work" llama-cpp-python==$version
tar -C "$work" -xzf "$work"/llama_cpp_python-*.tar.gz
cd "$work"/llama_cpp_python-*/vendor/llama.cpp

# not -march=native: the cached binary may be run on another machine than the one that built it
cmake -G Ninja -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
  -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_RPC=ON \
  -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF > "$work/cmake.log" || { tail -30 "$work/cmake.log"; exit 1; }
ninja -C "$work/build" llama-server ggml-rpc-server > "$work/ninja.log" || { tail -30 "$work/ninja.log"; exit 1; }

# moved into place in one step, so that an interrupted copy is never taken for a server
for name in ggml-rpc-server llama-server; do
  cp "$work/build/bin/$name" "$out/.$name.new"
  mv "$out/.$name.new" "$out/$name"
done
echo $version > "$out/version"
ls -l "$out"
