//! `--pid`: programs of this host that never have to end, by the counts that they write when they do.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use common::counting::{Compiler, Counting, args, files};
use common::process::Process;
use common::{Session, assert_done, assert_refused, counts, covtap, entered, run, stderr};

/// Starts the program, which counts from then on.
fn start(counting: &Counting) -> Process {
    let mut command = Command::new(&counting.program);
    command.env("LLVM_PROFILE_FILE", counting.path("own-%m.profraw"));
    Process::start_with(&mut command, &counting.program, "counting\n")
}

fn pid(process: &Process) -> String {
    process.id().to_string()
}

/// Records while the program counts; then lets it come to rest.
fn record_under_load(counting: &Counting, process: &mut Process, more: &[&str]) {
    let elves = [&counting.program, &counting.library];
    let mut loaded = args("record", &["--pid", &pid(process), "--every", "10ms", "--snapshots", "20"], elves);
    loaded.extend(more.iter().map(|arg| (*arg).to_owned()));
    let output = run(loaded);
    assert_done(&output);
    let said = stderr(&output);
    let how = format!("process_vm_readv, {}; the workload is not stopped", std::env::consts::ARCH);
    assert!(said.contains(&how), "{said}");
    assert!(said.contains("the workload was paused for 0 in all"), "{said}");
    process.go_on();
    process.wait_for("at rest\n");
}

#[test]
fn at_rest_clangs_counts_are_those_that_the_program_writes_itself() {
    for is_pie in [true, false] {
        let counting = Counting::build(Compiler::Clang, is_pie);
        let mut process = start(&counting);
        let loaded = counting.path("loaded-%m.profraw").display().to_string();
        record_under_load(&counting, &mut process, &["-o", &loaded]);
        let pattern = counting.path("tapped-%m.profraw").display().to_string();
        let elves = [&counting.program, &counting.library];
        let mut at_rest = args("snapshot", &["--pid", &pid(&process), "-o", &pattern], elves);
        assert_done(&run(&at_rest));
        // Byte for byte what the runtime writes, addresses and all.
        let identical = counting.path("identical-%m.profraw").display().to_string();
        at_rest.extend(["--runtime-identical", "-o", &identical].map(str::to_owned));
        at_rest.drain(3..5);
        assert_done(&run(&at_rest));
        assert!(process.finish().success());
        let own = files(counting.dir.path(), "own-");
        let tapped = files(counting.dir.path(), "tapped-");
        let identical = files(counting.dir.path(), "identical-");
        assert_eq!((own.len(), tapped.len(), identical.len()), (2, 2, 2));
        for (((name, own), (tapped_name, tapped)), (_, identical)) in own.iter().zip(&tapped).zip(&identical)
        {
            assert_eq!(name, tapped_name);
            assert_eq!(counts(own), counts(tapped), "{name}");
            assert!(fs::read(own).unwrap() == fs::read(identical).unwrap(), "{name}");
        }
    }
}

#[test]
fn at_rest_gccs_counts_are_those_that_the_program_writes_itself() {
    for is_pie in [true, false] {
        let counting = Counting::build(Compiler::Gcc, is_pie);
        let mut process = start(&counting);
        let tapped = counting.path("tapped").display().to_string();
        let depth = counting.dir.path().components().count() - 1;
        let strip = depth.to_string();
        let gcda = ["--gcda-dir", &tapped, "--gcda-strip", &strip, "--gcda-replace"];
        record_under_load(&counting, &mut process, &gcda);
        let elves = [&counting.program, &counting.library];
        let mut at_rest = args("snapshot", &["--pid", &pid(&process)], elves);
        at_rest.extend(gcda.map(str::to_owned));
        assert_done(&run(&at_rest));
        assert!(process.finish().success());
        for unit in ["program.gcda", "work.gcda"] {
            let [own, tapped] =
                [counting.path(unit), Path::new(&tapped).join(unit)].map(|it| fs::read(it).unwrap());
            assert!(own == tapped, "{unit}");
        }
    }
}

/// What is deployed is stripped; the ELF with the counters' names is elsewhere and called otherwise.
#[test]
fn a_stripped_program_is_known_by_its_build_id() {
    let counting = Counting::build(Compiler::Clang, true);
    let kept = counting.path("with-symbols");
    fs::copy(&counting.program, &kept).unwrap();
    covtap_testbed::run("llvm-strip-19", ["--strip-all".as_ref(), counting.program.as_os_str()]).unwrap();
    let mut process = start(&counting);
    process.go_on();
    process.wait_for("at rest\n");
    let tapped = counting.path("tapped.profraw");
    let output = tapped.display().to_string();
    let done = run(args("snapshot", &["--pid", &pid(&process), "-o", &output], [&kept]));
    assert_done(&done);
    let deployed = format!("is {}, loaded at ", counting.program.display());
    assert!(stderr(&done).contains(&deployed), "{}", stderr(&done));
    assert!(process.finish().success());
    let own = files(counting.dir.path(), "own-").into_iter().map(|(_, path)| counts(&path));
    assert!(own.into_iter().any(|own| own == counts(&tapped)));
}

#[test]
fn a_forked_process_counts_for_itself() {
    let counting = Counting::build(Compiler::Clang, true);
    let mut command = Command::new(&counting.program);
    command.arg("fork").env("LLVM_PROFILE_FILE", "/dev/null");
    let mut parent = Process::spawn(&mut command, &counting.program);
    // The two lines come in any order.
    let lines = [parent.line(), parent.line()];
    let child = lines.iter().find(|line| *line != "forked").expect("the child's id").clone();
    for (own, other, expected) in [(pid(&parent), child.clone(), 5), (child, pid(&parent), 12)] {
        let tapped = counting.path("tapped.profraw");
        let output = tapped.display().to_string();
        let done = run(args("snapshot", &["--pid", &own, "-o", &output], [&counting.library]));
        assert_done(&done);
        let note = format!("the program of process {own} runs in {other} too: each counts for itself");
        assert!(stderr(&done).contains(&note), "{}", stderr(&done));
        assert_eq!(entered(&counting.library, &tapped)["work"], expected);
    }
    // The child goes on, comes to rest and ends, then the parent.
    parent.go_on();
    parent.wait_for("at rest\n");
    parent.go_on();
    parent.wait_for("at rest\n");
    assert!(parent.finish().success());
}

#[test]
fn a_process_that_ends_ends_the_session() {
    let counting = Counting::build(Compiler::Clang, true);
    let mut process = start(&counting);
    let output = counting.path("tapped.profraw").display().to_string();
    let target = ["--pid", &pid(&process), "--every", "5ms", "-o", &output];
    let session = Session::start(&args("record", &target, [&counting.program]));
    session.wait_for_snapshots(2);
    process.go_on();
    process.wait_for("at rest\n");
    assert!(process.finish().success());
    let done = session.end();
    assert_done(&done);
    assert!(stderr(&done).contains("ended with the target"), "{}", stderr(&done));
}

#[test]
fn what_the_process_does_not_run_is_refused() {
    let [counting, other] = [Counting::build(Compiler::Clang, true), Counting::build(Compiler::Gcc, true)];
    let process = start(&counting);
    let output = counting.path("none.profraw").display().to_string();
    let refused = run(args("snapshot", &["--pid", &pid(&process), "-o", &output], [&other.program]));
    assert_refused(&refused, "files that it has mapped is this build; /", "give the ELF that it runs");
    assert!(stderr(&refused).contains("the target has the build id"), "{}", stderr(&refused));
    let gone = run(args("snapshot", &["--pid", "2147483647", "-o", &output], [&counting.program]));
    assert_refused(
        &gone,
        "connect to process 2147483647: No such process",
        "give the id of a process that runs",
    );
    let both = run(args("snapshot", &["--pid", &pid(&process), "--find-image"], [&counting.program]));
    assert_eq!(both.status.code(), Some(2));
}

/// A process of another user: one of root's for everybody else, who root becomes for it.
#[test]
fn a_process_without_permission_is_refused() {
    const NOBODY: u32 = 65534;
    let is_root = nix::unistd::geteuid().is_root();
    let target = if is_root { std::process::id() } else { 1 };
    let mut command = covtap(["snapshot", "--pid", &target.to_string(), "program"]);
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("covtap starts");
    assert_refused(&output, &format!("attach on process {target}: not permitted: "), "CAP_SYS_PTRACE");
    assert!(stderr(&output).contains("(it runs as user 0, covtap as user "), "{}", stderr(&output));
}
