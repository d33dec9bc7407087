//! A hosted program stops itself where no counter changes any more; its counters are read from its memory; then
//! it runs on to its end, where the runtime in it writes its own profile. The two files must be the same bytes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use covtap::image::{Image, ImageAddr, Slide};
use covtap::locate::CounterRegion;
use covtap::locate::llvm::{self, Caution, Correlation, Located, NameRef, RawVersion};
use covtap::profile::llvm::LlvmProfile;
use covtap::write::profraw::{self, Style};
use covtap_link::{PointerWidth, TargetAddr};
use covtap_testbed as testbed;
use tempfile::tempdir;

use crate::build::{COVERAGE, hosted_c, hosted_rust, i386_with_runtime};
use crate::proftext;

/// A program that has stopped itself, and the profile that it will write.
struct Stopped {
    process: testbed::Stopped,
    profile: PathBuf,
}

impl Stopped {
    fn start(exe: &Path) -> Self {
        let exe = fs::canonicalize(exe).unwrap();
        let profile = exe.with_extension("profraw");
        let mut command = Command::new(&exe);
        // A program that writes no file itself has the profile for its output.
        if exe.parent().unwrap().join("program.o").exists() {
            command.stdout(File::create(&profile).unwrap());
        }
        let process = testbed::Stopped::start(command.env("LLVM_PROFILE_FILE", &profile)).unwrap();
        Self { process, profile }
    }

    fn slide(&self, image: &Image) -> Slide {
        if !image.is_position_independent() {
            return Slide::ZERO;
        }
        let start = self.process.load_address().unwrap();
        Slide::between(ImageAddr::new(0), TargetAddr::new(start))
    }

    fn memory(&self, addr: TargetAddr, len_bytes: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len_bytes).unwrap()];
        self.process.read(addr.get(), &mut bytes).unwrap();
        bytes
    }

    fn read(&self, located: &Located) -> Vec<Vec<u8>> {
        let read = |region: &CounterRegion| self.memory(region.range.start(), region.range.len_bytes());
        located.regions.iter().map(read).collect()
    }

    /// Lets the program run to its end and gives the profile that its runtime wrote.
    fn finish(self) -> (PathBuf, Vec<u8>) {
        assert!(self.process.finish().unwrap().success());
        let bytes = fs::read(&self.profile).unwrap();
        (self.profile, bytes)
    }
}

fn parse(exe: &Path) -> Image {
    Image::parse(&exe.display().to_string(), fs::read(exe).unwrap()).unwrap()
}

/// Compares all that can be compared for one hosted program, and gives what was found in it.
fn check(exe: &Path, profdata: &str, version: RawVersion) -> Located {
    let (located, regions, their_path) = check_identical(exe, version);
    compare_shown(&located, &regions, exe, profdata, &their_path);
    let stats = LlvmProfile::new(&located.image, &regions).unwrap().stats();
    assert!(stats.functions_entered > 0 && stats.functions_entered < stats.functions, "{stats:?}");
    located
}

/// Compares the file that covtap writes with the runtime's own; gives what was read, and where that is.
fn check_identical(exe: &Path, version: RawVersion) -> (Located, Vec<Vec<u8>>, PathBuf) {
    let program = Stopped::start(exe);
    let image = parse(exe);
    let slide = program.slide(&image);
    check_identity(&program, &image, slide);
    let located = llvm::locate(&image, slide).unwrap();
    assert_eq!(located.image.version(), version);
    let regions = program.read(&located);
    let (their_path, theirs) = program.finish();

    let identical = profraw::encode(&located.image, &regions, Style::RuntimeIdentical { slide }).unwrap();
    let ours_path = exe.with_extension("identical.profraw");
    fs::write(&ours_path, &identical).unwrap();
    testbed::run("cmp", [&ours_path, &their_path]).unwrap();
    assert!(identical == theirs);
    (located, regions, their_path)
}

/// The normalised profile must show what the runtime's own shows, and what we think is in it.
fn compare_shown(located: &Located, regions: &[Vec<u8>], exe: &Path, profdata: &str, their_path: &Path) {
    let normalised = profraw::encode(&located.image, regions, Style::Normalised).unwrap();
    let ours_path = exe.with_extension("normalised.profraw");
    fs::write(&ours_path, &normalised).unwrap();
    // A profile for correlation has no data: the tool takes the binary's, and refuses it for any other.
    let binary = match located.image.correlation() {
        Correlation::None => None,
        Correlation::Binary => Some(format!("--binary-file={}", exe.display())),
        Correlation::DebugInfo => Some(format!("--debug-info={}", exe.display())),
    };
    let theirs = show(profdata, their_path, binary.as_deref());
    assert!(theirs.contains("Total functions: "), "{theirs}");
    assert_eq!(show(profdata, &ours_path, None), theirs);

    let profile = LlvmProfile::new(&located.image, regions).unwrap();
    let read = proftext::read_back(profdata, exe.parent().unwrap(), &normalised);
    let expected = proftext::of_profile(&located.image, &profile);
    assert_eq!(read, expected);
    let runtimes = fs::read(their_path).unwrap();
    if binary.is_none() {
        assert_eq!(proftext::read_by_covtap(&runtimes), expected);
    } else {
        let error = covtap::profile::read("theirs", &runtimes).unwrap_err().to_string();
        assert!(error.contains("the profile has only counters"), "{error}");
    }
}

/// What the tool says of a profile.
fn show(profdata: &str, profile: &Path, binary: Option<&str>) -> String {
    let indexed = profile.with_extension("profdata").display().to_string();
    let profile = profile.to_str().unwrap();
    let merge = ["merge", profile, "-o", &indexed];
    testbed::run(profdata, merge.iter().copied().chain(binary)).unwrap();
    testbed::run(profdata, ["show", "--all-functions", "--counts", &indexed]).unwrap()
}

fn check_identity(program: &Stopped, image: &Image, slide: Slide) {
    use covtap::image::identity::Verdict;
    let identity = image.identity();
    assert!(identity.samples.len() > 16);
    let places = identity.places(image, slide);
    let mut found: Vec<Option<Vec<u8>>> =
        places.iter().map(|p| p.map(|p| program.memory(p.start(), p.len_bytes()))).collect();
    if let Some(build_id) = &identity.build_id {
        assert_eq!(identity.compare(&found), Verdict::SameBuildId(build_id.id.clone()));
        found[0] = None;
    }
    // Nothing that the loader changes may have been sampled: all of them are equal.
    let Verdict::SameBytes(agreement) = identity.compare(&found) else { panic!("other bytes") };
    assert_eq!((agreement.equal, agreement.of), (identity.samples.len(), identity.samples.len()));
}

#[test]
fn clang_14_position_independent() {
    let dir = tempdir().unwrap();
    let exe = hosted_c("clang-14", dir.path(), &[&COVERAGE[..], &["-fPIE", "-pie"]].concat());
    check(&exe, "llvm-profdata-14", RawVersion::V8);
}

#[test]
fn clang_14_fixed() {
    let dir = tempdir().unwrap();
    let exe = hosted_c("clang-14", dir.path(), &[&COVERAGE[..], &["-no-pie"]].concat());
    check(&exe, "llvm-profdata-14", RawVersion::V8);
}

#[test]
fn clang_19_position_independent() {
    let dir = tempdir().unwrap();
    let exe = hosted_c("clang-19", dir.path(), &[&COVERAGE[..], &["-fPIE", "-pie"]].concat());
    check(&exe, "llvm-profdata-19", RawVersion::V10);
}

#[test]
fn clang_19_fixed_without_a_build_id() {
    let dir = tempdir().unwrap();
    let exe =
        hosted_c("clang-19", dir.path(), &[&COVERAGE[..], &["-no-pie", "-Wl,--build-id=none"]].concat());
    assert!(check(&exe, "llvm-profdata-19", RawVersion::V10).image.binary_ids().is_empty());
}

#[test]
fn clang_19_linked_by_lld_with_packed_relocations() {
    let dir = tempdir().unwrap();
    let link = ["-fPIE", "-pie", "-fuse-ld=lld", "-Wl,-z,pack-relative-relocs", "-Wl,--build-id=sha1"];
    let exe = hosted_c("clang-19", dir.path(), &[&COVERAGE[..], &link].concat());
    assert!(parse(&exe).section(".relr.dyn").is_some());
    check(&exe, "llvm-profdata-19", RawVersion::V10);
}

#[test]
fn clang_19_with_a_build_id_of_odd_length() {
    let dir = tempdir().unwrap();
    let exe = hosted_c("clang-19", dir.path(), &[&COVERAGE[..], &["-Wl,--build-id=0x0102030405"]].concat());
    let located = check(&exe, "llvm-profdata-19", RawVersion::V10);
    assert_eq!(located.image.binary_ids()[0].to_string(), "0102030405");
}

#[test]
fn clang_19_mcdc() {
    let dir = tempdir().unwrap();
    let exe = hosted_c("clang-19", dir.path(), &[&COVERAGE[..], &["-fcoverage-mcdc"]].concat());
    let located = check(&exe, "llvm-profdata-19", RawVersion::V10);
    assert!(located.image.bitmap_len_bytes() > 0);
}

#[test]
fn clang_19_single_byte_counters() {
    let dir = tempdir().unwrap();
    let bytes = ["-mllvm", "-enable-single-byte-coverage=true"];
    let exe = hosted_c("clang-19", dir.path(), &[&COVERAGE[..], &bytes].concat());
    assert!(check(&exe, "llvm-profdata-19", RawVersion::V10).image.is_byte_coverage());
}

#[test]
fn clang_19_binary_correlation() {
    let dir = tempdir().unwrap();
    let correlate = [&COVERAGE[..], &["-mllvm", "-profile-correlate=binary"]].concat();
    check(&hosted_c("clang-19", dir.path(), &correlate), "llvm-profdata-19", RawVersion::V10);
    let exe = hosted_c("clang-19", dir.path(), &[&correlate[..], &["-fcoverage-mcdc"]].concat());
    let located = check(&exe, "llvm-profdata-19", RawVersion::V10);
    assert!(located.image.bitmap_len_bytes() > 0);
}

#[test]
fn clang_19_debug_info_correlation() {
    let dir = tempdir().unwrap();
    let correlate = [&COVERAGE[..], &["-g", "-mllvm", "-profile-correlate=debug-info"]].concat();
    for more in [&[][..], &["-fcoverage-mcdc"], &["-mllvm", "-enable-single-byte-coverage=true"]] {
        let exe = hosted_c("clang-19", dir.path(), &[&correlate, more].concat());
        let located = check(&exe, "llvm-profdata-19", RawVersion::V10);
        assert_eq!(located.image.correlation(), Correlation::DebugInfo);
    }
    // The name of a function that is not used is in memory. LLVM's tool takes the profile for one with functions then.
    for more in [&["-DUNUSED"][..], &["-DUNUSED", "-fcoverage-mcdc", "-no-pie"]] {
        let exe = hosted_c("clang-19", dir.path(), &[&correlate, more].concat());
        let (located, _, _) = check_identical(&exe, RawVersion::V10);
        assert!(located.image.names().get(NameRef::of(b"program.c:unused")).is_some());
    }
}

#[test]
fn debug_info_correlation_counting_in_intermediate_code() {
    let dir = tempdir().unwrap();
    for (release, version, option) in [
        ("14", RawVersion::V8, "-debug-info-correlate"),
        ("16", RawVersion::V8, "-debug-info-correlate"),
        ("19", RawVersion::V10, "-profile-correlate=debug-info"),
    ] {
        let args = ["-fprofile-generate", "-g", "-mllvm", option, "-mllvm", "-disable-vp=true"];
        let exe = hosted_c(&format!("clang-{release}"), dir.path(), &args);
        let located = check(&exe, &format!("llvm-profdata-{release}"), version);
        assert_eq!(located.image.correlation(), Correlation::DebugInfo);
    }
}

#[test]
fn clang_19_counting_in_intermediate_code() {
    let dir = tempdir().unwrap();
    let exe = hosted_c("clang-19", dir.path(), &["-fprofile-generate", "-mllvm", "-disable-vp=true"]);
    check(&exe, "llvm-profdata-19", RawVersion::V10);
}

/// Values are in the program's heap: the counts are read without them, and the runtime's file is not imitated.
#[test]
fn clang_19_profiling_values() {
    let dir = tempdir().unwrap();
    let values = ["-mllvm", "-enable-value-profiling=true", "-mllvm", "-disable-vp=false"];
    let exe = hosted_c("clang-19", dir.path(), &[&["-fprofile-generate"], &values[..]].concat());
    let program = Stopped::start(&exe);
    let image = parse(&exe);
    let slide = program.slide(&image);
    let located = llvm::locate(&image, slide).unwrap();
    assert_eq!(located.cautions, [Caution::ValueSitesNotRead, Caution::StoredAfterLoops]);
    let regions = program.read(&located);
    let (their_path, _) = program.finish();
    let error = profraw::encode(&located.image, &regions, Style::RuntimeIdentical { slide }).unwrap_err();
    assert!(error.to_string().ends_with("values are not read from the target"), "{error}");
    compare_shown(&located, &regions, &exe, "llvm-profdata-19", &their_path);
}

#[test]
fn rustc_position_independent() {
    let dir = tempdir().unwrap();
    check(&hosted_rust(dir.path()), "llvm-profdata-19", RawVersion::V10);
}

#[test]
fn clang_14_i386() {
    let dir = tempdir().unwrap();
    let located = check(&i386_with_runtime("14", dir.path(), &[]), "llvm-profdata-14", RawVersion::V8);
    assert_eq!(located.image.pointer_width(), PointerWidth::Bits32);
}

#[test]
fn clang_19_i386() {
    let dir = tempdir().unwrap();
    check(&i386_with_runtime("19", dir.path(), &[]), "llvm-profdata-19", RawVersion::V10);
    let mcdc = i386_with_runtime("19", dir.path(), &["-fcoverage-mcdc"]);
    assert!(check(&mcdc, "llvm-profdata-19", RawVersion::V10).image.bitmap_len_bytes() > 0);
}

/// The compiler's variable counts, a runtime's default for it does not.
#[test]
fn counters_relocated_at_run_time_have_a_bias() {
    let dir = tempdir().unwrap();
    let relocate = ["-mllvm", "-runtime-counter-relocation"];
    for compiler in ["clang-14", "clang-16", "clang-19"] {
        let located =
            |args: &[&str]| llvm::locate(&parse(&hosted_c(compiler, dir.path(), args)), Slide::ZERO).unwrap();
        let moved = located(&[&COVERAGE[..], &relocate].concat());
        assert_eq!(moved.cautions, [Caution::RelocatedAtRunTime]);
        assert_eq!(moved.regions[0].bias.unwrap().range.len_bytes(), 8);
        let fixed = located(&COVERAGE);
        assert_eq!((fixed.cautions, fixed.regions[0].bias), (vec![], None));
    }
}

#[test]
fn what_is_not_read_says_which_case_it_is() {
    use llvm::LocateError as E;
    let dir = tempdir().unwrap();
    let located = |compiler: &str, args: &[&str]| {
        llvm::locate(&parse(&hosted_c(compiler, dir.path(), args)), Slide::ZERO).unwrap_err()
    };
    assert!(matches!(located("clang-19", &[]), E::NotInstrumented { .. }));
    assert!(matches!(
        located("clang-19", &["-fcoverage-mapping", "-fprofile-instr-generate", "-c"]),
        E::Relocatable { .. }
    ));
    assert!(matches!(located("clang-19", &["--coverage"]), E::Gcov { .. }));
    assert!(matches!(located("clang-14", &["--coverage"]), E::Gcov { .. }));
    assert!(matches!(located("gcc", &["--coverage"]), E::Gcov { .. }));
    assert!(matches!(located("gcc", &["--coverage", "-s"]), E::Gcov { .. }));
    let correlated = [&COVERAGE[..], &["-mllvm", "-profile-correlate=debug-info"]].concat();
    assert!(matches!(located("clang-19", &correlated), E::NoData { .. }));
    let split = [&correlated[..], &["-g", "-gsplit-dwarf"]].concat();
    assert!(matches!(located("clang-19", &split), E::SplitDebugInfo { .. }));
}
