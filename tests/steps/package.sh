# shellcheck shell=bash
# what users run: README's first command as it stands there, cargo package, cargo install
need_rust
# The first line of the first code block under the heading.
first=$(awk '/^## Try it/ { here = 1 } block { print; exit } here && /^```sh/ { block = 1 }' README.md)

first_command() {
  say "$first"
  local said
  said=$(bash -c "$first") && printf '%s\n' "$said" && grep -q 'Two leaders at once: never' <<<"$said"
}

installs() {
  cargo install -q --locked --path . --root "$CARGO_TARGET_DIR/installed" &&
    "$CARGO_TARGET_DIR/installed/bin/elector" --version
}

check "README's first command" first_command
check "cargo package" cargo package -q --locked --allow-dirty
check "cargo install --path ." installs
