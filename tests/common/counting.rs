//! Programs of this host that count in themselves and in a library, until they are told to stop.

use std::fs;
use std::path::{Path, PathBuf};

use covtap_testbed::run;
use tempfile::{TempDir, tempdir};

/// Counts in a thread of its own, so that nothing is lost.
const PROGRAM: &str = "#include <pthread.h>
    #include <stdlib.h>
    #include <sys/wait.h>
    #include <unistd.h>
    void say_and_wait(const char *line);
    void say_pid(int pid);
    unsigned work(unsigned x);
    static volatile unsigned sink;
    static volatile int is_over;
    __attribute__((noinline)) static unsigned own(unsigned x) { return x & 4 ? x + 1 : x; }
    static void *count(void *unused) {
      for (unsigned i = 0; !is_over; i++) sink += work(own(i));
      return unused;
    }
    static void forked(void) {
      for (int i = 0; i < 5; i++) sink += work(i);
      int child = fork();
      if (child) { say_pid(child); waitpid(child, 0, 0); return; }
      for (int i = 0; i < 7; i++) sink += work(i);
      say_and_wait(\"forked\\n\");
      exit(0);
    }
    int main(int argc, char **argv) {
      if (argc > 1 && *argv[1] == 'f') { forked(); return 0; }
      pthread_t thread;
      if (pthread_create(&thread, 0, count, 0)) return 1;
      say_and_wait(\"counting\\n\");
      is_over = 1;
      return pthread_join(thread, 0);
    }";

const LIBRARY: &str = "unsigned work(unsigned x) {
      if (x & 1) x = 3 * x + 1; else x /= 2;
      switch (x & 3) { case 0: return x; case 1: return x + 1; case 2: return 2 * x; default: return 0; }
    }";

/// Nothing counts in it. Its destructor runs when all that counts is done.
const WAIT: &str = "#include <stdio.h>
    #include <string.h>
    #include <unistd.h>
    void say_and_wait(const char *line) {
      char byte;
      if (write(1, line, strlen(line)) != (long)strlen(line) || read(0, &byte, 1) != 1) _exit(1);
    }
    void say_pid(int pid) { dprintf(1, \"%d\\n\", pid); }
    __attribute__((destructor)) static void rest(void) { say_and_wait(\"at rest\\n\"); }";

/// Who counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compiler {
    Clang,
    Gcc,
}

impl Compiler {
    fn name(self) -> &'static str {
        match self {
            Self::Clang => "clang-19",
            Self::Gcc => "gcc-12",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Clang => &["-fprofile-instr-generate", "-fcoverage-mapping"],
            Self::Gcc => &["--coverage"],
        }
    }
}

/// A program and the library that it is linked with, in a folder of their own.
pub(crate) struct Counting {
    pub(crate) dir: TempDir,
    pub(crate) program: PathBuf,
    pub(crate) library: PathBuf,
}

impl Counting {
    pub(crate) fn build(compiler: Compiler, is_pie: bool) -> Self {
        let dir = tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for (name, source) in [("program.c", PROGRAM), ("work.c", LIBRARY), ("wait.c", WAIT)] {
            fs::write(path(name), source).unwrap();
        }
        let (pic, link) = if is_pie { ("-fPIE", "-pie") } else { ("-fno-pie", "-no-pie") };
        let compile = |name: &str, pic: &str, flags: &[&str]| {
            let (source, object) = (path(&format!("{name}.c")), path(&format!("{name}.o")));
            run(compiler.name(), [&[pic, "-O1", "-c", &source, "-o", &object], flags].concat()).unwrap();
        };
        compile("work", "-fPIC", compiler.flags());
        compile("program", pic, compiler.flags());
        compile("wait", pic, &[]);
        let (program, library) = (path("program"), path("libwork.so"));
        let of_library = ["-shared", &path("work.o"), "-o", &library];
        run(compiler.name(), [&of_library, compiler.flags()].concat()).unwrap();
        let rpath = format!("-Wl,-rpath,{}", dir.path().display());
        let of_program =
            [link, "-pthread", &path("program.o"), &path("wait.o"), &library, &rpath, "-o", &program];
        run(compiler.name(), [&of_program, compiler.flags()].concat()).unwrap();
        Self { program: program.into(), library: library.into(), dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Arguments of covtap.
pub(crate) fn args<'a>(
    verb: &str,
    target: &[&str],
    elves: impl IntoIterator<Item = &'a PathBuf>,
) -> Vec<String> {
    let elves = elves.into_iter().map(|elf| elf.display().to_string());
    [verb].into_iter().chain(target.iter().copied()).map(str::to_owned).chain(elves).collect()
}

/// The files in a folder whose name begins so, by the rest of it.
pub(crate) fn files(dir: &Path, start: &str) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name.strip_prefix(start)?.to_owned(), entry.path()))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    named
}
