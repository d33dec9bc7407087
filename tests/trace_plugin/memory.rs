//! The plugin's file itself: read while it is written, after QEMU was killed, and of several vCPUs.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use covtap::profile::trace::{Entry, Kind, Trace, TraceMemory, TraceMemoryError};

use crate::common::PATIENCE;
use crate::guests::{Built, Machine};

/// What a file has now.
fn read(path: &Path) -> Result<(TraceMemory, Vec<Entry>), TraceMemoryError> {
    let open = |source| TraceMemoryError::Read { offset: 0, len_bytes: 0, source };
    let file = std::fs::File::open(path).map_err(open)?;
    let mut read_at = |offset: u64, bytes: &mut [u8]| -> io::Result<()> { file.read_exact_at(bytes, offset) };
    let header = TraceMemory::read(&mut read_at)?;
    let mut entries = Vec::new();
    header.entries(&mut read_at, &mut |entry| {
        entries.push(entry);
        Ok(())
    })?;
    Ok((header, entries))
}

/// The trace that a file has.
pub(crate) fn trace(path: &Path) -> Trace {
    let file = std::fs::File::open(path).expect("a file");
    let mut read_at = |offset: u64, bytes: &mut [u8]| -> io::Result<()> { file.read_exact_at(bytes, offset) };
    let header = TraceMemory::read(&mut read_at).expect("a header");
    assert_eq!((header.unseen_outcomes, header.is_privilege_unknown), (0, false));
    header.trace(&mut read_at).expect("a trace")
}

/// Counts by address.
fn counts(entries: &[Entry]) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    entries.iter().for_each(|entry| *counts.entry(entry.vaddr).or_default() += entry.count);
    counts
}

/// A QEMU that ends with the test.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the code at `address` was executed more often than `than`.
fn wait_for_more(path: &Path, address: u64, than: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let count = read(path).map_or(0, |(_, entries)| counts(&entries).get(&address).copied().unwrap_or(0));
        if count > than {
            return count;
        }
        assert!(Instant::now() < deadline, "{address:#x} was executed {count} times");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn counts_grow_while_they_are_read_and_are_there_after_a_kill() {
    for options in ["mode=insns", "mode=insns,counts=callbacks", "mode=blocks", "mode=edges"] {
        let guest = Built::calling(Machine::CortexM, 0);
        let (mut command, file) = guest.traced(options);
        let mut qemu = Qemu(command.spawn().expect("QEMU starts"));
        let counted = guest.symbol("counted");
        let first = wait_for_more(&file, counted, 0);
        let second = wait_for_more(&file, counted, first);
        qemu.0.kill().expect("QEMU runs");
        qemu.0.wait().expect("QEMU ends");
        let (header, entries) = read(&file).expect("a memory");
        let last = counts(&entries);
        assert!(!header.has_ended && header.not_recorded == 0, "{options}: {header:?}");
        assert!(last[&counted] >= second, "{options}");
        // Every second call goes on to `odd`: not one count of either is lost.
        let odd = last[&guest.symbol("odd")];
        assert!(last[&counted].abs_diff(odd * 2) <= 2, "{options}: {} {odd}", last[&counted]);
    }
}

/// With more than 16, QEMU would move its memory, and calls count.
#[test]
fn vcpus_are_counted_apart_and_added_up() {
    for (harts, options) in
        [(2_u64, "mode=insns"), (2, "mode=edges"), (4, "mode=insns,counts=callbacks"), (20, "mode=insns")]
    {
        let guest = Built::of(Machine::RiscV, "harts.S", &[format!("-DHARTS={harts}")]);
        let (mut command, file) = guest.traced(options);
        let status = command.args(["-smp", &harts.to_string()]).status().expect("QEMU starts");
        assert!(status.success(), "{status}");
        let (header, entries) = read(&file).expect("a memory");
        assert!(header.has_ended && !header.is_vcpu_missing, "{harts} {options}: {header:?}");
        let work = guest.symbol("work");
        let expected = 1000 + (harts - 1) * 2000;
        if options.starts_with("mode=insns") {
            assert_eq!(counts(&entries)[&work], expected, "{harts} {options}");
            continue;
        }
        // It ends more than one block: `work` is also reached from above.
        let is_at_end = |entry: &&Entry| {
            let at = entry.vaddr + u64::from(entry.len_bytes - entry.last_bytes);
            at > work && at < work + 4
        };
        let ways = [Kind::BranchTaken, Kind::BranchFellThrough].map(|kind| {
            let own = entries.iter().filter(is_at_end).filter(|entry| entry.kind == kind);
            own.map(|entry| entry.count).sum::<u64>()
        });
        assert_eq!(ways, [expected - harts, harts], "{entries:x?}");
    }
}

#[test]
fn code_that_is_replaced_has_an_entry_of_its_own() {
    let guest = Built::of(Machine::RiscV, "changes.S", &[]);
    let (mut command, file) = guest.traced("mode=insns");
    assert!(command.status().expect("QEMU starts").success());
    let place = guest.symbol("place");
    let (_, entries) = read(&file).expect("a memory");
    let there = entries.iter().filter(|entry| entry.vaddr == place);
    let seen: Vec<_> = there.map(|entry| (entry.has_other_bytes, entry.count)).collect();
    assert_eq!(seen, [(false, 3), (true, 5)]);
}

#[test]
fn what_is_wrong_is_one_line_and_qemu_does_not_start() {
    let guest = Built::calling(Machine::CortexM, 1);
    let said = |command: &mut Command| {
        let output = command.output().expect("QEMU starts");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).lines().next().map(str::to_owned).expect("a line")
    };
    let (mut command, _) = guest.traced("mode=lines");
    let expected = "covtap-qemu-plugin: read the arguments: mode=lines is none of trace=PATH, ";
    assert!(said(&mut command).starts_with(expected));
    let (mut command, _) = guest.traced("trace=/nowhere/x");
    let expected = "covtap-qemu-plugin: open /nowhere/x: No such file or directory (os error 2)";
    assert_eq!(said(&mut command), expected);
}
