//! The programs under `tests/conformance`, and those under `tests/gcov`, which show what GCC's coverage treats apart: a
//! file, or a folder of files that make one program.
//!
//! What always holds: a program has a function `program`, which is called with several numbers, or a `main` of its
//! own; it needs nothing but the language, unless it is [hosted](Program::is_hosted).

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use covtap_testbed::workspace_root;

/// With fewer the corpus has lost some.
const MIN_PROGRAMS: usize = 40;

/// What a program is written in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Language {
    C,
    Cpp,
    Rust,
}

impl Language {
    const ALL: [Self; 3] = [Self::C, Self::Cpp, Self::Rust];

    /// The name of the folder.
    fn folder(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Rust => "rust",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Rust => "rs",
            other => other.folder(),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::C => "C",
            Self::Cpp => "C++",
            Self::Rust => "Rust",
        })
    }
}

/// One program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) language: Language,
    /// The name of its file, or folder.
    pub(super) name: String,
    /// What is compiled: of Rust the root alone.
    pub(super) sources: Vec<PathBuf>,
    /// Whether it needs a standard library.
    pub(super) is_hosted: bool,
    /// Whether it begins by itself.
    pub(super) has_main: bool,
}

/// A folder of support, for a source of its.
pub(super) fn support(name: &str) -> PathBuf {
    corpus_dir().join("support").join(name)
}

fn corpus_dir() -> PathBuf {
    workspace_root().join("tests/conformance")
}

/// All programs, by language and name.
pub(super) fn programs() -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for language in Language::ALL {
        for path in listed(&corpus_dir().join(language.folder()))? {
            programs.push(Program::read(language, &path)?);
        }
    }
    ensure!(programs.len() >= MIN_PROGRAMS, "only {} programs in {}", programs.len(), corpus_dir().display());
    Ok(programs)
}

/// The programs that GCC compiles: those of C and C++, and those of `tests/gcov`, which all have a C library.
pub(super) fn of_gcc() -> Result<Vec<Program>> {
    let mut all = programs()?;
    all.retain(|program| program.language != Language::Rust);
    for path in listed(&workspace_root().join("tests/gcov"))? {
        let is_cpp = path.extension().is_some_and(|extension| extension == Language::Cpp.extension());
        let language = if is_cpp { Language::Cpp } else { Language::C };
        all.push(Program { is_hosted: true, ..Program::read(language, &path)? });
    }
    // One that has values of every kind for GCC to count.
    for language in [Language::C, Language::Cpp] {
        all.push(Program::read(language, &workspace_root().join("tests/gcda"))?);
    }
    Ok(all)
}

impl Program {
    fn read(language: Language, path: &Path) -> Result<Self> {
        let mut sources = if path.is_dir() { listed(path)? } else { vec![path.to_owned()] };
        sources.retain(|source| source.extension().is_some_and(|e| e == language.extension()));
        if language == Language::Rust && path.is_dir() {
            sources = vec![path.join("main.rs")];
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut texts = Vec::new();
        for source in &sources {
            texts.push(fs::read_to_string(source).with_context(|| format!("read {}", source.display()))?);
        }
        let any = |test: &dyn Fn(&str) -> bool| texts.iter().any(|text| test(text));
        let main = if language == Language::Rust { "\nfn main() {" } else { "\nint main(" };
        let has_main = any(&|text| text.contains(main));
        let is_hosted = has_main || any(&|text| text.starts_with("// hosted"));
        ensure!(has_main || any(&|text| text.contains("gram")), "{name} is no program");
        Ok(Self { language, name, sources, is_hosted, has_main })
    }
}

/// What is in a folder, by name.
fn listed(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    Ok(paths)
}
