//! Programs without a C library, for processors of both widths and byte orders: the notes of the compiler, and the
//! names that it gives counters, are the oracle.

use std::fs;
use std::path::Path;
use std::process::Command;

use covtap::locate::gcov::Located;
use covtap_testbed as testbed;
use tempfile::tempdir;

use super::oracle::notes;
use super::{image, locate, run_in, source, without_sections};

const COMPILERS: [(&str, &[&str]); 7] = [
    ("arm-none-eabi-gcc", &["-mcpu=cortex-m3", "-mthumb"]),
    ("riscv64-unknown-elf-gcc", &["-march=rv64imac", "-mabi=lp64"]),
    ("riscv64-unknown-elf-gcc", &["-march=rv32imac", "-mabi=ilp32"]),
    ("powerpc-linux-gnu-gcc", &["-no-pie"]),
    ("powerpc-linux-gnu-gcc", &["-m64", "-no-pie"]),
    ("powerpc-linux-gnu-gcc", &["-m64", "-pie", "-fPIE"]),
    ("gcc", &["-m32", "-no-pie"]),
];

/// Ident and checksums of each function, by the notes, and how many counters it has, by the symbol of them.
fn expected(elf: &Path, gcno: &Path) -> Vec<([u32; 3], u64)> {
    let text = testbed::run("gcov-dump", [Path::new("-l"), gcno]).unwrap();
    let image = image(elf);
    let num = |name: &str| image.symbol(&format!("__gcov0.{name}")).unwrap().len_bytes / 8;
    let mut all: Vec<_> = notes(&text).iter().map(|(name, key)| (*key, num(name))).collect();
    all.sort_unstable();
    all
}

fn found(located: &Located) -> Vec<([u32; 3], u64)> {
    let functions = located.image.objects.iter().flat_map(|object| object.functions.iter().flatten());
    let each = functions.map(|f| ([f.ident, f.lineno_checksum, f.cfg_checksum], f.counters[0].num.into()));
    let mut all: Vec<_> = each.collect();
    all.sort_unstable();
    all
}

#[test]
fn no_code_of_gcov_need_be_there() {
    for (compiler, flags) in COMPILERS {
        let builds = [
            ("-O0", "-fprofile-info-section"),
            ("-O2", "-fprofile-info-section"),
            ("-Os", "-fprofile-info-section=.of_ours"),
        ];
        for (optimisation, section) in builds {
            let (dir, workload) = (tempdir().unwrap(), source("workload.c"));
            let coverage = [section, "-fprofile-arcs", "-ftest-coverage", optimisation];
            let object = ["-ffreestanding", "-c", "-o", "workload.o", &workload];
            run_in(dir.path(), compiler, flags.iter().copied().chain(coverage).chain(object));
            // Not null is all that it has to be.
            let link = ["-nostdlib", "-Wl,--defsym=__gcov_merge_add=1", "workload.o", "-o", "a"];
            run_in(dir.path(), compiler, flags.iter().copied().chain(link));
            let elf = dir.path().join("a");
            let located = locate(&elf).unwrap();
            let expected = expected(&elf, &dir.path().join("workload.gcno"));
            let what = format!("{compiler} {flags:?} {optimisation}");
            assert!(expected.len() > 1, "{what}");
            assert_eq!(found(&located), expected, "{what}");
            assert!(located.image.objects[0].filename.ends_with(b"workload.gcda"));
            run_in(dir.path(), &compiler.replace("gcc", "strip"), ["a"]);
            assert_eq!(found(&locate(&elf).unwrap()), expected, "{what}, stripped");
            let bare = locate(&without_sections(&elf)).unwrap();
            assert_eq!(found(&bare), expected, "{what}, without sections");
        }
    }
}

/// The example guest's structures are in the file and not in the target's memory, at addresses that the target has for
/// something else.
#[test]
fn structures_that_are_not_loaded_are_found() {
    let dir = tempdir().unwrap();
    let script = testbed::workspace_root().join("examples/guests/c-gcov-an385/build.sh");
    let elf = dir.path().join("guest.elf");
    let output = Command::new(script).arg("covered").arg(&elf).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let image = image(&elf);
    assert!(!image.section(".gcov_info").unwrap().is_loaded());
    let located = locate(&elf).unwrap();
    let gcno = fs::read_dir(dir.path().join("guest.elf.d")).unwrap().map(|entry| entry.unwrap().path());
    let gcno: Vec<_> = gcno.filter(|path| path.extension().is_some_and(|e| e == "gcno")).collect();
    assert_eq!((gcno.len(), located.image.objects.len()), (3, 3));
    let mut all: Vec<_> = gcno.iter().flat_map(|gcno| expected(&elf, gcno)).collect();
    all.sort_unstable();
    assert_eq!(found(&located), all);
    let bss = image.section(".bss").unwrap();
    for region in &located.regions {
        assert!(region.range.start().get() >= bss.address().get());
        assert!(region.range.end().get() <= bss.address().get() + bss.len_bytes());
    }
}
