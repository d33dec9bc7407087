//! Programs that are built and run, and reports of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covtap_testbed::{tool, workspace_root};
use tempfile::{TempDir, tempdir};

use crate::common::{assert_done, run};

/// A folder with what is built in it.
pub(crate) struct Dir(TempDir);

impl Dir {
    pub(crate) fn new() -> Self {
        Self(tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a tool or a program of the folder `from`, whatever it ends with, and gives its stdout.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, from: &str, name: &str, args: &[S]) -> Vec<u8> {
        let program = if name.starts_with("./") { self.path(from).join(name) } else { tool(name).unwrap() };
        let output = Command::new(program).args(args).current_dir(self.path(from)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(name.starts_with("./") || output.status.success(), "{name}: {said}");
        output.stdout
    }

    /// Builds a program in the folder `from` with GCC 12 and runs it.
    pub(crate) fn build_and_run(&self, from: &str, options: &[&str]) {
        fs::create_dir_all(self.path(from)).unwrap();
        let options = [&["--coverage", "-w", "-o", "program"], options].concat();
        self.run(from, "gcc-12", &options);
        self.run(from, "./program", &[""; 0]);
    }

    /// Reports from within the folder.
    pub(crate) fn report(&self, inputs: &[&str], options: &[&str]) -> Output {
        let inputs = inputs.iter().map(|input| self.text(input));
        run([OsStr::new("report").to_owned()]
            .into_iter()
            .chain(inputs.map(Into::into))
            .chain(options.iter().map(Into::into)))
    }

    /// The trace of a report that has to be without a word.
    pub(crate) fn trace(&self, inputs: &[&str]) -> String {
        let output = self.report(inputs, &["--lcov", "-"]);
        assert_done(&output);
        assert_eq!(crate::common::stderr(&output), "");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A program of the corpus with its units' sources, and the compiler's driver.
pub(crate) fn corpus() -> Vec<(String, Vec<PathBuf>)> {
    let listed = |dir: &Path| {
        let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let root = workspace_root().join("tests");
    let is_source = |path: &PathBuf| path.extension().is_some_and(|it| it == "c" || it == "cpp");
    let all =
        ["conformance/c", "conformance/cpp", "gcov"].into_iter().flat_map(|dir| listed(&root.join(dir)));
    all.map(|path| {
        let names: Vec<_> = path.iter().rev().take(2).map(|name| name.to_str().unwrap()).collect();
        let name = names.join("-").replace('.', "_");
        let mut sources = if path.is_dir() { listed(&path) } else { vec![path] };
        sources.retain(is_source);
        let has_main = sources.iter().any(|path| fs::read_to_string(path).unwrap().contains("int main("));
        sources.extend((!has_main).then(|| root.join("conformance/support/main.c")));
        (name, sources)
    })
    .collect()
}

/// What a trace says, by file: its lines without those of totals, which LLVM's tools and lcov count otherwise.
pub(crate) fn by_file(trace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut file = String::new();
    for line in trace.lines() {
        match line.split_once(':') {
            Some(("SF", name)) => name.clone_into(&mut file),
            Some(("FN" | "FNDA" | "DA" | "BRDA", _)) => {
                files.entry(file.clone()).or_default().insert(line.to_owned());
            }
            _ => {}
        }
    }
    files
}
