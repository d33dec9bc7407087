//! `.gcda` files against GCC's own: what libgcov wrote is read and written alike, and files of two runs merge to what
//! libgcov makes of them on disk and to what `gcov-tool` makes of them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use covtap::locate::gcov::{Dialect, Version};
use covtap::profile::gcov::{GcdaCounters, GcdaFile, GcdaFunction, GcdaSummary, read};
use covtap::write::gcda::encode;
use covtap::write::gcda_path::GcdaPlace;
use covtap_link::Endianness;
use covtap_testbed::{run, tool, workspace_root};

/// How programs are built.
const VARIANTS: [(&str, &[&str]); 8] = [
    ("plain", &["--coverage"]),
    ("optimised", &["--coverage", "-O2"]),
    ("atomic", &["--coverage", "-O1", "-fprofile-update=atomic"]),
    ("lto", &["--coverage", "-O2", "-flto"]),
    ("values", &["-fprofile-generate", "-O2"]),
    ("values-atomic", &["-fprofile-generate", "-O2", "-fprofile-update=atomic"]),
    ("values-lto", &["-fprofile-generate", "-O2", "-flto"]),
    ("values-coverage", &["-fprofile-generate", "--coverage", "-O1"]),
];

/// The files of a directory that a run left.
type Files = BTreeMap<String, Vec<u8>>;

/// Takes the files of the runs so far away.
fn take(dir: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gcda") {
            files.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
            fs::remove_file(path).unwrap();
        }
    }
    files
}

/// Builds the two sources of a language. Objects are named without a directory: `-fprofile-dir` makes one part of
/// the directory then.
fn build(compiler: &str, extension: &str, flags: &[&str], dir: &Path) {
    let compile = |args: &[&str]| {
        let mut command = Command::new(tool(compiler).unwrap());
        let output = command.args(args).args(flags).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for stem in ["main", "other"] {
        let source = workspace_root().join(format!("tests/gcda/{stem}.{extension}"));
        // Values that are addresses are the same in each run.
        compile(&["-fno-pie", "-c", "-o", &format!("{stem}.o"), source.to_str().unwrap()]);
    }
    compile(&["-no-pie", "-o", "program", "main.o", "other.o"]);
}

fn start(dir: &Path, argument: &str) {
    let status = Command::new(dir.join("program")).arg(argument).current_dir(dir).status().unwrap();
    assert!(status.success(), "{status}");
}

fn files_of(dir: &Path, arguments: &[&str]) -> Files {
    arguments.iter().for_each(|argument| start(dir, argument));
    take(dir)
}

/// What covtap makes of files of runs, the earliest first.
fn merged(runs: &[&Files]) -> Files {
    let (first, later) = runs.split_first().unwrap();
    let mut sum: BTreeMap<String, GcdaFile> =
        first.iter().map(|(name, bytes)| (name.clone(), read(name, bytes).unwrap())).collect();
    for files in later {
        for (name, bytes) in *files {
            // As libgcov does: the run that ends has its counters in memory, and adds what the file has.
            let mut file = read(name, bytes).unwrap();
            file.merge(&sum[name]).unwrap();
            sum.insert(name.clone(), file);
        }
    }
    sum.into_iter().map(|(name, file)| (name, encode(&file))).collect()
}

fn write_all(dir: &Path, files: &Files) {
    fs::create_dir_all(dir).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
}

/// Which kinds of counters, with values that are not 0, a build's files have.
fn indices(files: &Files) -> Vec<usize> {
    let files: Vec<_> = files.iter().map(|(name, bytes)| read(name, bytes).unwrap()).collect();
    let counters = files.iter().flat_map(|file| file.functions.iter().flatten()).flat_map(|f| &f.counters);
    let mut indices: Vec<_> =
        counters.filter(|c| c.values.iter().any(|value| *value != 0)).map(|c| c.index).collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}

/// Builds and runs, and compares with what libgcov and `gcov-tool` made of the same runs.
fn compare(release: &str, compiler: &str, extension: &str) {
    for (name, flags) in VARIANTS {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let what = format!("{compiler} {extension} {name}");
        build(compiler, extension, flags, dir);
        let runs = [files_of(dir, &["1"]), files_of(dir, &["4"]), files_of(dir, &["7"])];
        let together = files_of(dir, &["1", "4", "7"]);
        for files in runs.iter().chain([&together]) {
            assert_eq!(files.len(), 2, "{what}");
            for (name, bytes) in files {
                assert!(encode(&read(name, bytes).unwrap()) == *bytes, "{what}: {name}");
            }
        }
        assert!(merged(&[&runs[0], &runs[1], &runs[2]]) == together, "{what}");
        if flags.contains(&"-fprofile-generate") && extension == "c" {
            // Arcs, values, call targets and times at least.
            let found = indices(&together);
            for index in [0, 3, 4, 7] {
                assert!(found.contains(&index), "{what}: {found:?}");
            }
        }
        assert!(tool_merged(release, dir, &runs) == merged(&[&runs[1], &runs[0]]), "{what}: gcov-tool");
    }
}

/// What `gcov-tool` makes of the first two runs: it adds the second to the first.
fn tool_merged(release: &str, dir: &Path, runs: &[Files]) -> Files {
    let [first, second, sum] = ["first", "second", "sum"].map(|name| dir.join(name));
    write_all(&first, &runs[0]);
    write_all(&second, &runs[1]);
    let gcov_tool = format!("gcov-tool-{release}");
    run(
        &gcov_tool,
        ["merge".as_ref(), "-o".as_ref(), sum.as_os_str(), first.as_os_str(), second.as_os_str()],
    )
    .unwrap();
    take(&sum)
}

#[test]
fn files_of_c_programs_are_libgcovs_own() {
    compare("12", "gcc-12", "c");
    compare("11", "gcc-11", "c");
}

#[test]
fn files_of_cpp_programs_are_libgcovs_own() {
    compare("12", "g++-12", "cpp");
    compare("11", "g++-11", "cpp");
}

#[test]
fn a_copy_of_a_function_that_is_not_linked_counts_nothing() {
    for compiler in ["g++-11", "g++-12"] {
        let temp = tempfile::tempdir().unwrap();
        build(compiler, "cpp", &["--coverage"], temp.path());
        let files = files_of(temp.path(), &["2"]);
        let other = read("other.gcda", &files["other.gcda"]).unwrap();
        let is_zero = |function: &GcdaFunction| function.counters[0].values.iter().all(|value| *value == 0);
        let zeros = other.functions.iter().flatten().map(is_zero);
        // smallest<int> and common are those of main.o.
        assert_eq!(zeros.filter(|is_zero| *is_zero).count(), 2, "{compiler}");
        assert_eq!(other.functions.len(), 3, "{compiler}");
    }
}

#[test]
fn files_go_where_libgcov_puts_them() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    for (flag, directory) in [("-g", bytes(&dir)), ("-fprofile-dir=/cov", mangled(&dir))] {
        build("gcc-12", "c", &["--coverage", flag], &dir);
        let end: &[u8] = if flag == "-g" { b"/main.gcda" } else { b"#main.gcda" };
        let name = [&*directory, end].concat();
        for (n, strip) in
            [None, Some("0"), Some("1"), Some("2"), Some("9"), Some("-1"), Some("1x")].iter().enumerate()
        {
            let prefix = dir.join(format!("prefix{n}{flag}").replace('/', "_"));
            let mut program = Command::new(dir.join("program"));
            program.env("GCOV_PREFIX", &prefix).env_remove("GCOV_PREFIX_STRIP").current_dir(&dir);
            program.envs(strip.map(|strip| ("GCOV_PREFIX_STRIP", strip)));
            assert!(program.status().unwrap().success());
            let place = GcdaPlace::new(Path::new("out"), Some(prefix.as_os_str()), strip.map(OsStr::new));
            let path = place.path(&name).unwrap();
            assert!(path.is_file(), "{} with {strip:?}", path.display());
        }
        // Without a prefix, what is left of the name is below the directory that the program runs in.
        let here = dir.join(format!("here{}", flag.len()));
        fs::create_dir(&here).unwrap();
        let mut program = Command::new(dir.join("program"));
        program.env("GCOV_PREFIX_STRIP", "1").env_remove("GCOV_PREFIX").current_dir(&here);
        assert!(program.status().unwrap().success());
        let path = GcdaPlace::new(&here, None, Some(OsStr::new("1"))).path(&name).unwrap();
        assert!(path.is_file(), "{}", path.display());
    }
}

/// The name below `/cov` that stands for a directory.
fn mangled(dir: &Path) -> Vec<u8> {
    let dir = dir.as_os_str().as_bytes().iter().map(|byte| if *byte == b'/' { b'#' } else { *byte });
    b"/cov/".iter().copied().chain(dir).collect()
}

/// libgcov writes over a file of another build: up to GCC 11 of any, since then of one whose flow graphs differ.
#[test]
fn a_file_of_another_build_is_told_apart_as_libgcov_does() {
    for (compiler, earlier_flag, is_other) in
        [("gcc-11", "-O0", true), ("gcc-12", "-O2", true), ("gcc-12", "-O0", false)]
    {
        let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        build(compiler, "c", &["--coverage", earlier_flag], one.path());
        build(compiler, "c", &["--coverage", "-O0"], two.path());
        let [earlier, later] = [files_of(one.path(), &["1"]), files_of(two.path(), &["2"])];
        write_all(two.path(), &earlier);
        let by_libgcov = files_of(two.path(), &["2"]);
        for (name, bytes) in &later {
            let mut file = read(name, bytes).unwrap();
            let theirs = read(name, &earlier[name]).unwrap();
            assert_ne!(file.stamp, theirs.stamp);
            match file.merge(&theirs) {
                Ok(()) => assert!(!is_other, "{compiler} {name}"),
                Err(error) => assert!(error.is_other_build() && is_other, "{compiler} {name}: {error}"),
            }
            // libgcov does not shorten what was longer: there may be more behind the end.
            assert!(by_libgcov[name].starts_with(&encode(&file)), "{compiler} {name}");
            assert_eq!(read(name, &by_libgcov[name]).unwrap(), file);
        }
    }
}

/// LLVM's runtime writes files of GCC 4.8, with the summary last.
#[test]
fn files_of_clang_are_read() {
    for compiler in ["clang-14", "clang-19"] {
        let temp = tempfile::tempdir().unwrap();
        build(compiler, "c", &["--coverage"], temp.path());
        for (name, bytes) in files_of(temp.path(), &["2"]) {
            let file = read(&name, &bytes).unwrap();
            assert_eq!(file.version().to_string(), "4.8");
            // A checksum, the number of counters, and the number of runs.
            assert_eq!(file.program_summaries, [[0, 0, 1]]);
            assert_eq!(file.functions.len(), if name == "main.gcda" { 5 } else { 2 });
            assert_eq!(file.layout().dialect, Dialect::Clang);
            assert!(encode(&file) == bytes, "{compiler} {name}");
        }
    }
}

/// A file as a Cortex-M would have it.
fn of_arm() -> GcdaFile {
    let version = Version::from_word(u32::from_be_bytes(*b"B22*")).unwrap();
    let mut file = GcdaFile::new(version, Endianness::Little, 0x1234_5678).unwrap();
    file.checksum = Some(0x9abc_def0);
    file.summary = Some(GcdaSummary { runs: 3, sum_max: 4711 });
    let counters = |index, values: &[u64]| GcdaCounters { index, values: values.to_vec() };
    let function = |ident, counters| GcdaFunction { ident, lineno_checksum: 5, cfg_checksum: 6, counters };
    file.functions = vec![
        Some(function(1, vec![counters(0, &[4711, 0, 1 << 33]), counters(3, &[9, 2, 5, 6, 7, 3, 0, 0])])),
        None,
        Some(function(2, vec![counters(0, &[0; 12]), counters(7, &[0])])),
    ];
    file
}

#[test]
fn the_dump_tools_of_other_targets_read_what_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("arm.gcda");
    fs::write(&path, encode(&of_arm())).unwrap();
    let dumps = ["arm-none-eabi-gcov-dump", "gcov-dump-12"]
        .map(|tool| run(tool, ["-l".as_ref(), path.as_os_str()]).unwrap());
    for dump in dumps {
        for line in [
            "stamp 305419896",
            "checksum 2596069104",
            "runs=3, sum_max=4711",
            "FUNCTION ident=1, lineno_checksum=0x00000005, cfg_checksum=0x00000006",
            "FUNCTION ident=2, lineno_checksum=0x00000005, cfg_checksum=0x00000006",
            "COUNTERS arcs 3 counts",
            "4711 0 8589934592",
            "COUNTERS topn 8 counts",
            "9 2 5 6 7 3 0 0",
            "COUNTERS arcs 12 counts (all zero)",
            "COUNTERS time_profiler 1 counts (all zero)",
        ] {
            assert!(dump.contains(line), "{line:?} in {dump}");
        }
    }
}
