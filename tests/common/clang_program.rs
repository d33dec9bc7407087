//! A program of clang's for this machine, with LLVM's runtime in it.

use std::path::{Path, PathBuf};

use covtap_testbed as testbed;

/// Does what its input says: `a` once through one branch, `b` through another; answers each with `done`.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
volatile int sink;
static int twice(int x) { return x > 2 && x < 100 ? x * 2 : x; }
int never(int x) { return x; }
int main(int argc, char **argv) {
  int c;
  while ((c = getchar()) != EOF) {
    if (c == 'a') sink += twice(1); else sink += twice(50);
    printf("done\n"); fflush(stdout);
  }
  return 0;
}
"#;

/// Compiles it into a folder.
pub(crate) fn build(dir: &Path, compiler: &str, args: &[&str]) -> PathBuf {
    let (source, exe) = (dir.join("program.c"), dir.join("program"));
    std::fs::write(&source, PROGRAM).unwrap();
    let paths = [source.to_str().unwrap(), "-o", exe.to_str().unwrap()];
    let base = ["-O1", "-fprofile-instr-generate", "-fcoverage-mapping"];
    testbed::run(compiler, base.iter().chain(args).chain(&paths)).unwrap();
    exe
}
