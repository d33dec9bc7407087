//! Programs that are at rest before they end: what is in their memory is what they write then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use covtap::image::{ImageAddr, Slide};
use covtap::locate::gcov::{self, Dialect, Located, Piece};
use covtap::profile::gcov::{GcovProfile, read};
use covtap::write::gcda::encode;
use covtap_link::{Endianness, PointerWidth, TargetAddr};
use tempfile::tempdir;

use super::{image, run_in, source};

/// A program that waits for its end.
struct Paused {
    child: Child,
    memory: File,
}

/// Memory that is mapped: start, end, writable, of the program's file.
type Mapping = (u64, u64, bool, bool);

impl Paused {
    fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        // What it prints itself ends with a line.
        let mut said = vec![0];
        while said[0] != b'.' {
            output.read_exact(&mut said).unwrap();
        }
        let memory = File::open(format!("/proc/{}/mem", child.id())).unwrap();
        Self { child, memory }
    }

    fn read(&self, start: u64, len_bytes: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len_bytes).unwrap()];
        self.memory.read_exact_at(&mut bytes, start).unwrap();
        bytes
    }

    /// What it has mapped, in one piece where that is all alike.
    fn mappings(&self, program: &Path) -> Vec<Mapping> {
        let text = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap();
        let mut all: Vec<Mapping> = Vec::new();
        for line in text.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with('r')) {
            // What the kernel gives is not to be read by others.
            if line.contains("[v") {
                continue;
            }
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
            let is_writable = line.split(' ').nth(1).unwrap().as_bytes()[1] == b'w';
            let is_own = Path::new(line.split_whitespace().next_back().unwrap()) == program;
            match all.last_mut() {
                Some(last) if last.1 == start && last.2 == is_writable => last.1 = end,
                _ => all.push((start, end, is_writable, is_own)),
            }
        }
        all
    }

    /// How far the program is from where it was linked.
    fn slide(&self, program: &Path) -> Slide {
        let image = image(program);
        if !image.is_position_independent() {
            return Slide::ZERO;
        }
        let start = self.mappings(program).into_iter().find(|mapping| mapping.3).unwrap().0;
        Slide::between(ImageAddr::new(0), TargetAddr::new(start))
    }

    fn regions(&self, located: &Located) -> Vec<Vec<u8>> {
        let ranges = located.regions.iter().map(|region| region.range);
        ranges.map(|range| self.read(range.start().get(), range.len_bytes())).collect()
    }

    /// All that is found without the image.
    fn located_in_memory(&self, program: &Path) -> Located {
        let mappings = self.mappings(program);
        let bytes: Vec<_> = mappings.iter().map(|(start, end, ..)| self.read(*start, end - start)).collect();
        let pieces = mappings.iter().zip(&bytes).map(|((start, _, is_writable, _), bytes)| Piece {
            start: TargetAddr::new(*start),
            bytes,
            is_writable: *is_writable,
        });
        let pieces: Vec<_> = pieces.collect();
        gcov::locate_in_memory("memory", &pieces, Endianness::Little, PointerWidth::Bits64).unwrap()
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The files of all objects, by name.
fn files(located: &Located, regions: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let profile = GcovProfile::new(&located.image, regions).unwrap();
    let names = located.image.objects.iter().map(|object| object.filename.clone());
    names.zip(profile.files.iter().map(encode)).collect()
}

/// Builds, runs, and compares what is in memory, found by the image and without it, with what the program then writes,
/// once and again over what the first run left.
fn compare(compiler: &str, flags: &[&str], dialect: Dialect) {
    let temp = tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let what = format!("{compiler} {flags:?}");
    run_in(&dir, "gcc", ["-c", &source("pause.c"), "-o", "pause.o"]);
    let sources = ["main.c", "other.c"].map(|name| source(&format!("../gcda/{name}")));
    for (source, object) in sources.iter().zip(["main.o", "other.o"]) {
        run_in(&dir, compiler, flags.iter().copied().chain(["-c", source, "-o", object]));
    }
    let link = ["main.o", "other.o", "pause.o", "-o", "a"];
    run_in(&dir, compiler, flags.iter().copied().chain(link));
    let program = dir.join("a");
    let mut earlier = BTreeMap::new();
    for run in 1..=2 {
        let paused = Paused::start(&program);
        let located = gcov::locate(&image(&program), paused.slide(&program)).unwrap();
        assert!(located.image.objects.iter().all(|object| object.dialect == dialect), "{what}");
        let regions = paused.regions(&located);
        let by_image = files(&located, &regions);
        let found = paused.located_in_memory(&program);
        assert_eq!(found.cautions, [], "{what}");
        assert!(by_image == files(&found, &paused.regions(&found)), "{what}: found without the image");
        paused.end();
        assert_eq!(by_image.len(), 2, "{what}");
        for (name, bytes_of_ours) in &by_image {
            let path = String::from_utf8(name.clone()).unwrap();
            let bytes = fs::read(&path).unwrap();
            let written = read(&path, &bytes).unwrap();
            assert_eq!(written.layout().dialect, dialect);
            let mut ours = read(&path, bytes_of_ours).unwrap();
            if let Some(earlier) = earlier.get(name) {
                ours.merge(earlier).unwrap();
                // compiler-rt adds a run to those of the first file that a process writes, and not of the others.
                if dialect == Dialect::Clang && path.ends_with("other.gcda") {
                    ours.summary = written.summary;
                    ours.program_summaries.clone_from(&written.program_summaries);
                }
            }
            assert!(encode(&ours) == bytes, "{what}: {path}, run {run}");
            earlier.insert(name.clone(), written);
        }
    }
}

#[test]
fn what_clang_s_programs_write_is_in_their_memory() {
    let builds: [&[&str]; 5] = [
        &[],
        &["-no-pie"],
        &["-fprofile-update=atomic", "-static"],
        &["-Xclang", "-coverage-version=A93*"],
        &["-Xclang", "-coverage-version=B11*"],
    ];
    for compiler in ["clang-14", "clang-16", "clang-19"] {
        for build in builds {
            let flags: Vec<_> = ["--coverage", "-O0"].iter().chain(build).copied().collect();
            compare(compiler, &flags, Dialect::Clang);
        }
    }
}

#[test]
fn what_gcc_s_programs_write_is_in_their_memory() {
    for compiler in ["gcc-11", "gcc-12"] {
        for flags in [&["--coverage", "-O2"][..], &["--coverage", "-no-pie", "-static"]] {
            compare(compiler, flags, Dialect::Gcc);
        }
    }
}
