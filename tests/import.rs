//! `covtap import`, from logs that QEMU writes of a guest here and now, and what it does with damaged ones.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{assert_done, assert_refused, run, stderr};
use covtap::profile::trace::{self, Counting, Space, Trace};
use covtap_testbed as testbed;
use flate2::{Compression, write::GzEncoder};
use tempfile::{TempDir, tempdir};

/// How often the guest's loop runs.
const LOOPS: u64 = 5;

/// A guest on the Cortex-M machine that loops, never comes to `dead`, and ends QEMU by semihosting.
const SOURCE: &str = ".syntax unified
.cpu cortex-m3
.thumb
.section .vectors, \"a\"
.word 0x20001000
.word reset + 1
.text
.globl reset, again, callee, dead
.thumb_func
reset: movs r0, #LOOPS
again: bl callee
 subs r0, #1
 bne again
 ldr r1, =0x20026
 movs r0, #0x18
 bkpt 0xab
.thumb_func
dead: b dead
.thumb_func
callee: mov.w r2, #0x21000000
 bx lr
";

/// The guest, and where its logs go.
struct Guest {
    dir: TempDir,
}

impl Guest {
    fn build() -> Self {
        let guest = Self { dir: tempdir().unwrap() };
        fs::write(guest.path("guest.s"), SOURCE.replace("LOOPS", &LOOPS.to_string())).unwrap();
        let [source, object, elf] = ["guest.s", "guest.o", "guest.elf"].map(|name| guest.text(name));
        testbed::run("arm-none-eabi-as", [&source, "-o", &object]).unwrap();
        let link = ["-Ttext=0x100", "--section-start=.vectors=0", "-e", "reset", &object, "-o", &elf];
        testbed::run("arm-none-eabi-ld", link).unwrap();
        guest
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// What QEMU logs of the guest's run, from its beginning to its end.
    fn log(&self, items: &str, name: &str, more: &[&str]) -> String {
        let [elf, log] = ["guest.elf", name].map(|name| self.text(name));
        let args = ["-M", "mps2-an385", "-display", "none", "-serial", "none", "-monitor", "none"];
        let semihosting = ["-semihosting-config", "enable=on,target=native"];
        let logging = ["-kernel", &elf, "-d", items, "-D", &log];
        let args = args.into_iter().chain(semihosting).chain(logging).chain(more.iter().copied());
        testbed::run("qemu-system-arm", args).unwrap();
        log
    }

    /// The addresses of the guest's labels.
    fn labels(&self) -> BTreeMap<String, u64> {
        let listed = testbed::run("arm-none-eabi-nm", [self.path("guest.elf")]).unwrap();
        let label = |line: &str| {
            let [address, _, name] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
            Some((name.to_owned(), u64::from_str_radix(address, 16).unwrap()))
        };
        listed.lines().filter_map(label).collect()
    }

    /// What an import writes, and says.
    fn import(&self, args: &[&str]) -> (Trace, String) {
        let out = self.text("out.covtrace");
        let output = run(["import", "-o", &out].iter().chain(args));
        assert_done(&output);
        (stored(Path::new(&out)), stderr(&output))
    }
}

fn stored(path: &Path) -> Trace {
    trace::parse("out", &fs::read(path).unwrap()).unwrap()
}

fn space(trace: &Trace) -> &Space {
    trace.space("").unwrap()
}

/// The bytes that were executed, without counts.
fn reached(trace: &Trace) -> Vec<u64> {
    space(trace).runs().iter().flat_map(|run| run.start..=run.last).collect()
}

/// The addresses of the instructions that were executed, in order: with a block for each, the log has a line for each.
fn instructions(guest: &Guest) -> Vec<u64> {
    let log = guest.log("exec,nochain", "single.log", &["-accel", "tcg,one-insn-per-tb=on"]);
    let log = fs::read_to_string(log).unwrap();
    let pcs = log.lines().map(|line| u64::from_str_radix(line.split('/').nth(1).unwrap(), 16).unwrap());
    pcs.collect()
}

#[test]
fn logs_of_qemu_by_what_they_can_tell() {
    let guest = Guest::build();
    let labels = guest.labels();
    let (exact, said) = guest.import(&[&guest.log("exec,in_asm,nochain", "exact.log", &[])]);
    assert!(said.contains("exact.log: qemu-log, which says how often code ran"), "{said}");
    assert!(said.contains("exact.log: blocks are counted as QEMU enters them"), "{said}");
    assert_eq!(exact.counting, Counting::Times);
    let count = |trace: &Trace, label: &str| space(trace).count_at(labels[label]);
    assert_eq!(["reset", "again", "callee", "dead"].map(|label| count(&exact, label)), [1, LOOPS, LOOPS, 0]);
    for items in ["exec,in_asm", "in_asm"] {
        let (trace, said) = guest.import(&[&guest.log(items, "reached.log", &[])]);
        assert!(said.contains("which says that code ran, and not how often"), "{said}");
        assert_eq!((trace.counting, reached(&trace)), (Counting::Reached, reached(&exact)), "{items}");
    }
    // Without translations a block has an address and a count alone.
    let (starts, _) = guest.import(&[&guest.log("exec,nochain", "starts.log", &[])]);
    assert_eq!(count(&starts, "callee"), LOOPS);
    assert!(space(&starts).runs().iter().all(|run| run.start == run.last));
}

#[test]
fn a_run_is_the_same_in_every_form() {
    let guest = Guest::build();
    let pcs = instructions(&guest);
    let (exact, _) = guest.import(&[&guest.log("exec,in_asm,nochain", "exact.log", &[])]);
    let write = |name: &str, line: &dyn Fn(&u64) -> String| {
        fs::write(guest.path(name), pcs.iter().map(line).collect::<String>()).unwrap();
        guest.import(&[&guest.text(name)])
    };
    let (execlog, said) = write("execlog", &|pc| format!("0, {pc:#x}, 0x4770, \"bx lr\"\n"));
    assert!(said.contains(": execlog,"), "{said}");
    let (listed, said) = write("pcs", &|pc| format!("{pc:#010X}\n"));
    assert!(said.contains(": pcs,"), "{said}");
    assert_eq!(execlog, listed);
    let mut counts = BTreeMap::new();
    pcs.iter().for_each(|pc| *counts.entry(*pc).or_insert(0u64) += 1);
    assert!(counts.len() > 5, "{counts:?}");
    for (pc, count) in &counts {
        assert_eq!([&exact, &execlog].map(|trace| space(trace).count_at(*pc)), [*count; 2], "{pc:#x}");
    }
    assert_eq!(reached(&execlog), counts.into_keys().collect::<Vec<_>>());
    // Nothing else was executed: what is not an instruction's first byte is behind one.
    let (set, dump) = (reached(&exact), write("dump", &|pc| format!("{pc:08x} 1 4\n")).0);
    assert!(set.iter().all(|pc| space(&dump).count_at(*pc) > 0));
}

#[test]
fn several_traces_add_up_and_may_be_compressed() {
    let guest = Guest::build();
    let log = guest.log("exec,in_asm,nochain", "core-0.log", &[]);
    let (once, _) = guest.import(&[&log]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&fs::read(&log).unwrap()).unwrap();
    let packed = guest.text("core-1.log.gz");
    fs::write(&packed, encoder.finish().unwrap()).unwrap();
    assert_eq!(guest.import(&[&packed]).0, once);
    let (twice, _) = guest.import(&[&log, &packed]);
    let mut sum = once.clone();
    sum.add(&once);
    assert_eq!(twice, sum);
    assert_eq!(space(&twice).count_at(guest.labels()["callee"]), 2 * LOOPS);
    let (only_reached, _) = guest.import(&["--reached", &log]);
    assert_eq!((only_reached.counting, reached(&only_reached)), (Counting::Reached, reached(&once)));
}

#[test]
fn drcov_is_written_and_read() {
    let guest = Guest::build();
    let log = guest.log("exec,in_asm,nochain", "a.log", &[]);
    let [drcov, elf] = ["a.drcov", "guest.elf"].map(|name| guest.text(name));
    let (exact, said) = guest.import(&["--elf", &elf, "--drcov", &drcov, &log]);
    assert!(!said.contains("left out"), "{said}");
    let (read, said) = guest.import(&[&drcov]);
    assert!(said.contains(": drcov, which says that code ran"), "{said}");
    assert_eq!(reached(&read), reached(&exact));
    // Where it was loaded is left out again by the name of the module.
    let moved = format!("{elf}@0x10000000");
    let (_, said) = guest.import(&["--elf", &moved, "--drcov", &drcov, &log]);
    assert!(said.contains(&format!("left out are {} bytes in no ELF", reached(&exact).len())), "{said}");
    let lines: String = exact_pcs(&exact).map(|pc| format!("{:#x}\n", pc + 0x1000_0000)).collect();
    fs::write(guest.path("moved.pcs"), lines).unwrap();
    guest.import(&["--elf", &moved, "--drcov", &drcov, &guest.text("moved.pcs")]);
    let (rebased, _) = guest.import(&["--module", &format!("guest.elf={elf}"), &drcov]);
    assert_eq!(reached(&rebased), reached(&exact));
}

fn exact_pcs(trace: &Trace) -> impl Iterator<Item = u64> {
    reached(trace).into_iter()
}

#[test]
fn what_is_damaged_is_refused_and_nothing_is_written() {
    let guest = Guest::build();
    let log = guest.log("exec,in_asm,nochain", "a.log", &[]);
    let whole = fs::read(&log).unwrap();
    let [cut, out] = ["cut.log", "out.covtrace"].map(|name| guest.text(name));
    fs::write(&cut, &whole[..whole.len() - 3]).unwrap();
    let number = whole.iter().filter(|byte| **byte == b'\n').count();
    let message = format!("cut.log: as qemu-log, line {number}: the file ends in its middle");
    assert_refused(&run(["import", &log, &cut, "-o", &out]), &message, "--partial keeps");
    assert!(!Path::new(&out).exists());
    let (kept, said) = guest.import(&["--partial", &cut]);
    assert!(said.contains(&message) && said.contains("what was whole before it is kept"), "{said}");
    assert_eq!(space(&kept).count_at(guest.labels()["callee"]), LOOPS);
    fs::remove_file(&out).unwrap();
    let refused = |name: &str, bytes: &[u8], error: &str, hint: &str| {
        let path = guest.text(name);
        fs::write(&path, bytes).unwrap();
        assert_refused(&run(["import", &path, "-o", &out]), error, hint);
        assert_refused(&run(["import", "--partial", &path, "-o", &out]), error, hint);
        assert!(!Path::new(&out).exists());
    };
    refused("empty", b"", "empty: it is empty", "");
    refused("prose", b"nothing\nof this\n", "prose: it begins as no trace that is known", "--format says");
    refused("int.log", b"IN: \n\n", "as qemu-log, nothing in it was executed", "is it of another form?");
    let qemu = b"DRCOV VERSION: 2\nDRCOV FLAVOR: drcov-64\nModule Table: version 2, count 1\n\
        Columns: id, base, end, entry, path\n0, 0x400000, 0x401000, 0x400100, a\nBB Table: 1 bbs\n\
        \x00\x01\x40\x00\x04\x00\x00\x00";
    refused("absolute", qemu, "the block is not inside its module", "--absolute");
    let (absolute, _) = guest.import(&["--absolute", &guest.text("absolute")]);
    assert_eq!(reached(&absolute), (0x40_0100..0x40_0104).collect::<Vec<_>>());
    fs::remove_file(&out).unwrap();
    assert_refused(&run(["import", &guest.text("none"), "-o", &out]), "read ", "");
    let misused = run(["import", "--absolute", &log, "-o", &out]);
    assert_refused(&misused, "--absolute is for drcov alone, and this is qemu-log", "");
    assert!(!Path::new(&out).exists());
}
