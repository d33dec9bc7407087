//! Pools (`%m`): covtap and real programs with LLVM's runtime merge into one file, at the same time, and each count is
//! there once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use common::running::Running;
use common::{PATIENCE, Session, Way, assert_done, clang_program, counts, counts_by, stderr};
use covtap_testbed::{Guest, Machine, fixture};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// The program, and the folder with its pool.
struct Scene {
    dir: TempDir,
    exe: PathBuf,
}

impl Scene {
    fn new(compiler: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pool")).unwrap();
        let exe = clang_program::build(dir.path(), compiler, args);
        Self { dir, exe }
    }

    fn pool(&self, name: &str) -> PathBuf {
        self.dir.path().join("pool").join(name)
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path().join("pool")).unwrap();
        files.map(|entry| entry.unwrap().path()).collect()
    }

    /// Runs the program to its end, whose runtime merges.
    fn run(&self, pool: &Path, letters: &str) {
        let mut command = Command::new(&self.exe);
        command.env("LLVM_PROFILE_FILE", pool).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(letters.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    }

    /// A target, whose own profile goes nowhere.
    fn target(&self) -> Running {
        Running::start(&self.exe, Path::new("/dev/null"))
    }
}

/// `twice` was entered once for each letter, and went the long way for each `b`, in all files of a pool.
fn assert_counted(profdata: &str, files: &[PathBuf], a: u64, b: u64) {
    let mut sums = [0; 3];
    for file in files {
        let counts = counts_by(profdata, file);
        assert!(counts["never"].iter().all(|count| *count == 0));
        let twice = &counts["program.c:twice"];
        sums.iter_mut().zip(twice).for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(sums, [a + b, b, b], "{files:?}");
}

/// A program's runtime takes the file for its own, whoever made it.
#[test]
fn covtap_and_programs_in_both_orders() {
    let cases: [(&str, &[&str]); 6] = [
        ("clang-19", &[]),
        ("clang-19", &["-no-pie"]),
        ("clang-19", &["-fcoverage-mcdc"]),
        ("clang-19", &["-no-pie", "-Wl,--build-id=none"]),
        ("clang-14", &[]),
        ("clang-16", &["-Wl,--build-id=0x0102030405"]),
    ];
    for (compiler, args) in cases {
        let profdata = compiler.replace("clang", "llvm-profdata");
        let snapshot = |target: &Running, pool: &Path| {
            let mut words = target.args("snapshot", pool);
            if args.contains(&"-no-pie") {
                words[3] = words[3].split('@').next().unwrap().to_owned();
            }
            common::run(words)
        };
        let check = |scene: &Scene, a, b| {
            assert_eq!(scene.files().len(), 1, "{compiler} {args:?}");
            assert_counted(&profdata, &scene.files(), a, b);
        };
        let scene = Scene::new(compiler, args);
        let pool = scene.pool("%m.profraw");
        let mut target = scene.target();
        target.go("aab");
        assert_done(&snapshot(&target, &pool));
        check(&scene, 2, 1);
        scene.run(&pool, "ab");
        check(&scene, 3, 2);
        assert_done(&snapshot(&target, &pool));
        check(&scene, 5, 3);

        let scene = Scene { exe: scene.exe.clone(), ..Scene::new(compiler, args) };
        let pool = scene.pool("%m.profraw");
        scene.run(&pool, "ab");
        assert_done(&snapshot(&target, &pool));
        scene.run(&pool, "b");
        check(&scene, 3, 3);
    }
}

#[test]
fn byte_counters_and_correlation() {
    let scene = Scene::new("clang-19", &["-mllvm", "-enable-single-byte-coverage=true"]);
    let pool = scene.pool("%m.profraw");
    let mut target = scene.target();
    target.go("a");
    assert_done(&common::run(target.args("snapshot", &pool)));
    let covered = |scene: &Scene| common::nonzero(&counts(&scene.files()[0]));
    let before = covered(&scene);
    scene.run(&pool, "b");
    assert!(covered(&scene) > before);
    assert_eq!(scene.files().len(), 1);

    // Of correlation a runtime writes no records: it shares what was asked for as it writes that.
    let scene = Scene::new("clang-19", &["-mllvm", "-profile-correlate=binary"]);
    let pool = scene.pool("%m.profraw");
    let binary = format!("--binary-file={}", scene.exe.display());
    let shown = |file: &Path| {
        let merged = scene.dir.path().join("merged.profdata").display().to_string();
        let file = file.display().to_string();
        covtap_testbed::run("llvm-profdata-19", ["merge", &file, &binary, "-o", &merged])
            .expect("it is read");
        covtap_testbed::run("llvm-profdata-19", ["show", "--all-functions", "--counts", &merged]).unwrap()
    };
    let mut target = scene.target();
    target.go("aab");
    let mut args = target.args("snapshot", &pool);
    args.push("--runtime-identical".into());
    assert_done(&common::run(args));
    scene.run(&pool, "b");
    let text = shown(&scene.files()[0]);
    assert!(text.contains("Function count: 4"), "{text}");
    // And covtap adds to what the runtime wrote without being asked.
    assert_done(&common::run(target.args("snapshot", &pool)));
    let text = shown(&scene.files()[0]);
    assert!(text.contains("Function count: 7"), "{text}");
    assert_eq!(scene.files().len(), 1);
}

/// Programs end, and merge, while covtap adds a snapshot every millisecond, and none of either is lost.
#[test]
fn at_the_same_time() {
    for pool in ["%m.profraw", "%4m.profraw"] {
        let scene = Scene::new("clang-19", &[]);
        let pool = scene.pool(pool);
        let mut target = scene.target();
        target.go("a");
        let mut args = target.args("record", &pool);
        args.extend(["--every", "1ms"].map(str::to_owned));
        let session = Session::start(&args);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..40).for_each(|_| scene.run(&pool, "aab")));
            }
            (0..500).for_each(|_| target.go("ab"));
        });
        session.signal(Signal::SIGINT);
        let output = session.end();
        assert_done(&output);
        assert_counted("llvm-profdata-19", &scene.files(), 120 * 2 + 501, 120 + 500);
        assert!(scene.files().len() <= if pool.ends_with("%4m.profraw") { 4 } else { 1 });
        assert!(stderr(&output).contains("covtap: the profile is "), "{}", stderr(&output));
    }
}

/// A program that waits for the lock has opened the file before covtap writes it.
#[test]
fn a_locked_file_is_waited_for() {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    let scene = Scene::new("clang-19", &[]);
    let pool = scene.pool("%m.profraw");
    scene.run(&pool, "b");
    let file = fs::OpenOptions::new().read(true).write(true).open(&scene.files()[0]).unwrap();
    // As the runtime does it: a lock of this process.
    let lock = libc::flock {
        l_type: libc::F_WRLCK.try_into().unwrap(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // Such a lock goes when any descriptor of the file is closed: it is read by this one alone.
    let read = || {
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    };
    let before = read();
    fcntl(&file, FcntlArg::F_SETLKW(&lock)).unwrap();
    let mut target = scene.target();
    target.go("ab");
    let mut args = target.args("record", &pool);
    args.extend(["--snapshots", "1"].map(str::to_owned));
    let session = Session::start(&args);
    // It waits from before the target is touched until the lock is gone. The kernel lists who waits for a file's lock.
    let inode = format!(":{} ", file.metadata().unwrap().ino());
    let waits = |locks: String| locks.lines().any(|line| line.contains("-> ") && line.contains(&inode));
    while !waits(fs::read_to_string("/proc/locks").unwrap()) {
        assert!(!session.said().contains("snapshot 1"), "it did not wait");
        thread::yield_now();
    }
    assert_eq!(read(), before);
    drop(file);
    assert_done(&session.end());
    assert_counted("llvm-profdata-19", &scene.files(), 1, 2);
}

/// Two covtaps record two guests into one pool.
#[test]
fn two_covtaps() {
    let dir = tempfile::tempdir().unwrap();
    let elf = fixture("x86-pvh/covered.elf");
    let pool = dir.path().join("%c%m.profraw").display().to_string();
    let guests = [(), ()].map(|()| Guest::builder(Machine::X86Pvh, &elf).start().expect("the guest starts"));
    let sessions = [Way::Qemu, Way::Gdb].iter().zip(&guests).map(|(way, guest)| {
        guest.console().wait_for(PATIENCE, |line| line.starts_with("phase")).expect("it runs");
        let [flag, address] = way.flags(guest);
        let args = ["record", &flag, &address, &elf.display().to_string(), "--every", "5ms", "-o", &pool];
        Session::start(&args.map(str::to_owned))
    });
    let sessions: Vec<_> = sessions.collect();
    let mut expected: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for guest in &guests {
        for (name, count) in common::tallies_at_rest(guest) {
            *expected.entry(name).or_default() += count;
        }
    }
    for session in sessions {
        session.signal(Signal::SIGINT);
        assert_done(&session.end());
    }
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let entered = common::entered(&elf, &files[0]);
    assert!(!expected.is_empty());
    for (name, count) in expected {
        let found: Vec<_> = entered.iter().filter(|(mangled, _)| names(mangled, &name)).collect();
        assert!(found.iter().any(|(_, entered)| **entered == count), "{name}: {count}, not {found:?}");
    }
}

/// Whether a mangled name ends in this one: `..5parse..`
fn names(mangled: &str, name: &str) -> bool {
    mangled.contains(&format!("{}{name}", name.len()))
}
