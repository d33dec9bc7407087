//! Raw profiles whose records are in the binary, against `llvm-profdata merge --binary-file`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::process::Command;

use covtap::image::{Image, Slide};
use covtap::locate::llvm::{self, LlvmImage};
use covtap::profile::{self, ReadProfileError, StoredProfile};
use covtap::write::proftext;
use covtap_testbed as testbed;
use tempfile::{TempDir, tempdir};

/// A program, what it wrote and what covtap found in it.
struct Ran {
    dir: TempDir,
    image: LlvmImage,
    profile: Vec<u8>,
}

impl Ran {
    fn new(more: &str, flags: &[&str]) -> Self {
        let dir = tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let program = "static int both(int a, int b) { if (a && b) return 1; return 0; }
            int never(int x) { return x ? 3 : x; }
            int main(int c, char **v) { int n = 0; for (int i = 0; i < 9; i++) n += both(i, i & c); return n > 99; }";
        fs::write(path("program.c"), format!("{program}\n{more}")).unwrap();
        let args =
            ["-O1", "-fprofile-instr-generate", "-fcoverage-mapping", "-mllvm", "-profile-correlate=binary"];
        let paths = [path("program.c"), "-o".to_owned(), path("program")];
        let args = args.iter().chain(flags).map(|arg| (*arg).to_owned()).chain(paths);
        testbed::run("clang-19", args).unwrap();
        let done = Command::new(path("program")).env("LLVM_PROFILE_FILE", path("raw")).status().unwrap();
        assert!(done.success());
        let image = Image::parse("program", fs::read(path("program")).unwrap()).unwrap();
        let image = llvm::locate(&image, Slide::ZERO).unwrap().image;
        Self { image, profile: fs::read(path("raw")).unwrap(), dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn read(&self, images: &[&LlvmImage]) -> Result<StoredProfile, ReadProfileError> {
        profile::read_of("raw", &self.profile, images)
    }
}

fn text(profile: &str, more: &[&str]) -> String {
    testbed::run("llvm-profdata-19", ["merge", "--text", profile, "-o", "-"].iter().chain(more)).unwrap()
}

#[test]
fn the_binary_has_the_functions() {
    let kinds: [&[&str]; 3] =
        [&[], &["-fcoverage-mcdc"], &["-mllvm", "-enable-single-byte-coverage=true", "-Wl,--build-id=none"]];
    for flags in kinds {
        let ran = Ran::new("", flags);
        let ours = proftext::encode(&ran.read(&[&ran.image]).unwrap()).unwrap();
        let ours = String::from_utf8(ours).unwrap();
        // The same program with its records in memory.
        let plain = Ran::new("", &[flags, &["-mllvm", "-profile-correlate="]].concat());
        assert_eq!(ours, text(&plain.path("raw"), &[]), "{flags:?}");
        let theirs = text(&ran.path("raw"), &[&format!("--binary-file={}", ran.path("program"))]);
        assert!(theirs.contains("main\n"), "{theirs}");
        // LLVM 19's tool loses the bitmaps here.
        let counts = ours.replace("# Num Bitmap Bytes:\n$1\n# Bitmap Byte Values:\n0x7\n\n", "");
        assert_eq!(counts, theirs, "{flags:?}");
    }
}

/// Where LLVM's tool would give the counts of one program to the functions of another.
#[test]
fn another_program_is_refused() {
    let ran = Ran::new("", &["-Wl,--build-id=0x1234"]);
    let other = Ran::new("int more(int x) { return x ? 1 : 2; }", &["-Wl,--build-id=0x1234"]);
    let rebuilt = Ran::new("", &["-Wl,--build-id=0x5678"]);
    let without = Ran::new("", &["-Wl,--build-id=none"]);
    let refused = |images: &[&LlvmImage], why: &str| {
        let error = ran.read(images).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(&[], "the profile has only counters");
    refused(&[&other.image, &rebuilt.image], "which fit no program given");
    refused(&[&ran.image, &without.image], "which fit several programs given");
    assert_eq!(ran.read(&[&other.image, &ran.image]).unwrap(), ran.read(&[&without.image]).unwrap());
    let whole = fs::read(testbed::fixture("hosted/clang-19.profraw")).unwrap();
    assert_eq!(profile::read_of("w", &whole, &[&ran.image]), profile::read("w", &whole));
}
