//! Sites to look at, of programs that are compiled for it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use covtap::coverage::Coverage;
use covtap::image::{Image, Slide};
use covtap::locate::llvm;
use covtap::profile::llvm::LlvmProfile;
use covtap::write::html::{self, ObjectProgram, Options, Site};
use covtap::write::sources;
use covtap_testbed::{run, workspace_root};
use tempfile::TempDir;

/// A program, its coverage with counts made up, and a site of it.
pub(crate) struct Written {
    dir: TempDir,
    pub(crate) coverage: Coverage,
    pub(crate) site: Site,
}

impl Written {
    /// The program of `tests/coverage`: macros in macros, templates, headers in several units.
    pub(crate) fn corpus() -> Self {
        Self::corpus_with(&[])
    }

    /// The same, compiled with further arguments.
    pub(crate) fn corpus_with(args: &[&str]) -> Self {
        let sources = workspace_root().join("tests/coverage");
        let paths = ["program.cpp", "other.cpp"].map(|name| sources.join(name));
        Self::compile(&paths, args, &|name| fs::read(OsStr::from_bytes(name)).ok())
    }

    /// One source of that text and name, in the folder `as_dir` if the compiler is to be told so.
    pub(crate) fn of_text(name: &OsStr, text: &[u8], as_dir: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let map = as_dir.map(|to| format!("-fcoverage-prefix-map={}={to}", dir.path().display()));
        let map: Vec<&str> = map.iter().map(String::as_str).collect();
        Self::compile(&[path], &map, &|_| Some(text.to_vec()))
    }

    /// The coverage of sources in two directories.
    pub(crate) fn in_directories() -> Coverage {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a/one.c", "a/two.c", "b/three.c"].map(|name| dir.path().join(name));
        for (path, function) in paths.iter().zip(["start", "two", "three"]) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("int {function}(void) {{ return 1; }}\n")).unwrap();
        }
        Self::compile(&paths, &[], &|_| None).coverage
    }

    fn compile(paths: &[PathBuf], args: &[&str], read: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = ["--target=x86_64-none-elf", "-O1", "-ffreestanding", "-fno-exceptions", "-fno-rtti"];
        let cover = ["-fprofile-instr-generate", "-fcoverage-mapping", "-c"];
        let mut objects = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let object = dir.path().join(format!("{number}.o")).into_os_string();
            let args = base.iter().chain(&cover).chain(args).map(OsString::from);
            run("clang-19", args.chain([path.into(), "-o".into(), object.clone()])).unwrap();
            objects.push(object);
        }
        let elf = dir.path().join("program.elf");
        let link =
            ["-e", "start", "--defsym=__llvm_profile_runtime=0", "--unresolved-symbols=ignore-all", "-o"];
        let link = link.into_iter().map(OsString::from).chain([elf.clone().into_os_string()]);
        run("ld.lld-19", link.chain(objects)).unwrap();
        let coverage = made_up(&elf);
        let site = write(&coverage, &dir.path().join("site"), read);
        Self { dir, coverage, site }
    }

    /// Where the site is.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    /// The text of the page of the only file whose page's name begins so.
    pub(crate) fn page(&self, start: &str) -> String {
        fs::read_to_string(self.page_path(start)).unwrap()
    }

    /// Where that page is.
    pub(crate) fn page_path(&self, start: &str) -> PathBuf {
        let pages = fs::read_dir(self.path().join("files")).unwrap().map(|entry| entry.unwrap());
        let pages: Vec<_> =
            pages.filter(|page| page.file_name().to_str().unwrap().starts_with(start)).collect();
        assert_eq!(pages.len(), 1, "{pages:?}");
        pages[0].path()
    }

    pub(crate) fn index(&self) -> String {
        fs::read_to_string(self.path().join("index.html")).unwrap()
    }
}

/// Writes a site with what all tests have in common.
pub(crate) fn write(coverage: &Coverage, dir: &Path, read: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Site {
    write_traced(coverage, &[], dir, read)
}

/// The same with object code.
pub(crate) fn write_traced(
    coverage: &Coverage,
    programs: &[ObjectProgram<'_>],
    dir: &Path,
    read: &dyn Fn(&[u8]) -> Option<Vec<u8>>,
) -> Site {
    let options = Options {
        images: &["build/program.elf".into()],
        profiles: &["one.profraw".into(), "<two>.profraw".into()],
        cautions: &[],
        made_at: "2026-02-03T04:05:06Z".parse().unwrap(),
        read_source: &|name| read(name).map_or_else(|| sources::read(b"/nowhere/to/be/found.c"), Ok),
        programs,
    };
    html::write(coverage, dir, &options).unwrap()
}

/// Counts that vary, among them 0.
fn made_up(elf: &Path) -> Coverage {
    let image = Image::parse("program.elf", fs::read(elf).unwrap()).unwrap();
    let located = llvm::locate(&image, Slide::ZERO).unwrap();
    let count = |index: u64| (index * 7 + 3) % 11 * if index.is_multiple_of(5) { 3 } else { 1234 };
    let bytes = located.regions.iter().map(|region| {
        let len_bytes = region.range.len_bytes();
        if region.element_bytes == 1 {
            // A bitmap: some ways through decisions were taken.
            return [0xb7, 0x6d].into_iter().cycle().take(usize::try_from(len_bytes).unwrap()).collect();
        }
        (0..len_bytes / 8).flat_map(|index| count(index).to_le_bytes()).collect()
    });
    let profile = LlvmProfile::new(&located.image, &bytes.collect::<Vec<Vec<u8>>>()).unwrap();
    Coverage::new(&image, &located.image, &profile).unwrap()
}
