//! Commands that are run, and some that cannot be.

use crate::common::{self, assert_refused, stderr};
use crate::guest::{Built, CALLS, End};

/// As Cargo calls its runner: the ELF's path and a test's arguments come behind.
#[test]
fn as_a_runner_of_cargo() {
    let guest = Built::new(End::SifiveTest64, CALLS, 0);
    let elf = guest.elf().display().to_string();
    let mut words = guest.qemu();
    words.extend(["-kernel", "{elf}", "--", &elf, "--nocapture"].map(str::to_owned));
    let output = guest.covtap_of(&[], &words).output().expect("covtap starts");
    common::assert_done(&output);
    assert_eq!(guest.entered(), [1, CALLS, CALLS / 2]);
    let said = stderr(&output);
    assert!(said.contains("left out, for want of {args} in the command: --nocapture"), "{said}");
}

#[test]
fn quietly() {
    let output = Built::new(End::SifiveTest64, CALLS, 0).run(&["--quiet"]);
    common::assert_done(&output);
    assert!(output.stderr.is_empty() && output.stdout.is_empty(), "{}", stderr(&output));
}

#[test]
fn no_qemu() {
    let guest = Built::new(End::SifiveTest64, CALLS, 0);
    let elf = guest.elf().display().to_string();
    let cases: [(&[&str], &str, &str); 3] = [
        (&["no-such-qemu"], "start no-such-qemu: No such file or directory", "is it installed"),
        (
            &["sh", "-c", "exit 3"],
            "start sh: it ended before its monitor answered: exit status: 3",
            "what it printed says why",
        ),
        (&["qemu-system-riscv64", "-daemonize"], "-daemonize lets go of the guest", "leave it out"),
    ];
    for (command, error, hint) in cases {
        let command = command.iter().copied().chain(["-kernel", &elf]);
        let output = guest.covtap_of(&["--connect-timeout", "1m"], command).output();
        assert_refused(&output.expect("covtap starts"), error, hint);
        guest.assert_tidy();
    }
    let silent = ["sh", "-c", "exec sleep 600", "-kernel", &elf];
    let output = guest.covtap_of(&["--connect-timeout", "200ms"], silent).output().expect("covtap starts");
    assert_refused(&output, "start sh: its monitor did not answer within 200 ms", "is it a QEMU");
}

/// A script hands QEMU's arguments on, and becomes it.
#[test]
fn a_script_that_becomes_qemu() {
    let guest = Built::new(End::SifiveTest64, CALLS, 5);
    let elf = guest.elf().display().to_string();
    let script = ["sh", "-c", "exec \"$@\"", "sh"].map(str::to_owned);
    let words = script.into_iter().chain(guest.qemu()).chain(["-kernel".to_owned(), elf]);
    let output = guest.covtap_of(&[], words).output().expect("covtap starts");
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert_eq!(guest.entered(), [1, CALLS, CALLS / 2]);
}

/// A script that stays between covtap and QEMU keeps the end from being held, which is said.
#[test]
fn a_script_that_starts_qemu() {
    let guest = Built::new(End::SifiveTest64, CALLS, 5);
    let elf = guest.elf().display().to_string();
    let script = ["sh", "-c", "\"$@\"; exit $?", "sh"].map(str::to_owned);
    let words = script.into_iter().chain(guest.qemu()).chain(["-kernel".to_owned(), elf]);
    let output = guest.covtap_of(&[], words).output().expect("covtap starts");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("what the guest counts after the last snapshot before its end is lost"), "{said}");
    guest.assert_tidy();
}
