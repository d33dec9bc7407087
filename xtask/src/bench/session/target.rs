//! A process of this host with 16 MiB of counters.
//!
//! What enters is how many counters a function has; what leaves is a program that was built and started. What always
//! holds: its counters, data records and names are laid out as LLVM 19 does for so many functions, by an assembler's source
//! that is made here, since a compiler would take minutes; llvm-profdata reads what covtap makes of them.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use covtap::locate::llvm::NameRef;
use covtap_testbed::{run, workspace_root};

use crate::child::Group;

/// All counters together.
pub(super) const COUNTERS_LEN_BYTES: usize = 16 << 20;

const NUM_COUNTERS: usize = COUNTERS_LEN_BYTES / 8;

/// The length of a data record (`InstrProfData.inc`, llvmorg-19.1.7).
const RECORD_LEN_BYTES: usize = 64;

/// The program, running. It ends with its handle.
pub(super) struct Target {
    pub(super) program: PathBuf,
    group: Group,
}

impl Target {
    /// Builds it in `dir` and starts it.
    pub(super) fn start(dir: &Path, counters_per_function: usize, changing: usize) -> Result<Self> {
        let (source, program) = (dir.join("counters.s"), dir.join("counting"));
        fs::write(&source, assembly(counters_per_function)?).context("write the counters")?;
        let main = workspace_root().join("xtask/src/bench/session/counting.c");
        let spread = format!("-DSPREAD={}", NUM_COUNTERS.div_ceil(changing.max(1)));
        let paths = [&main, &source, &program].map(|path| path.display().to_string());
        let [main, source, output] = &paths;
        run("clang-19", ["-O1", "-Wl,--build-id=sha1", &spread, main, source, "-o", output])?;
        let mut group = Group::spawn(Command::new(&program).stdout(Stdio::piped()))?;
        let mut line = String::new();
        BufReader::new(group.stdout()?).read_line(&mut line).context("wait for the target")?;
        ensure!(line == "counting\n", "the target said {line:?}");
        Ok(Self { program, group })
    }

    pub(super) fn pid(&self) -> u32 {
        self.group.pid()
    }
}

/// The three sections.
fn assembly(counters_per_function: usize) -> Result<String> {
    let num_functions = NUM_COUNTERS / counters_per_function.max(1);
    let names: Vec<String> = (0..num_functions).map(|index| format!("f{index}")).collect();
    let mut out = format!(
        ".section __llvm_prf_cnts,\"aw\",@progbits\n.p2align 3\ncounters: .zero {COUNTERS_LEN_BYTES}\n\
         .section __llvm_prf_data,\"aw\",@progbits\n.p2align 3\nrecords:\n"
    );
    for (index, name) in names.iter().enumerate() {
        let name_ref = NameRef::of(name.as_bytes()).get();
        let counters = index * counters_per_function * 8;
        let record = index * RECORD_LEN_BYTES;
        writeln!(
            out,
            ".quad {name_ref:#x}, 24, (counters + {counters}) - (records + {record}), 0, 0, 0\n\
             .long {counters_per_function}\n.zero 12"
        )?;
    }
    let names = names.join("\\001");
    // The length as it is, in two ULEB128s: of the names, and of what they are compressed to, which they are not.
    writeln!(
        out,
        ".section __llvm_prf_names,\"a\",@progbits\n.uleb128 2f - 1f, 0\n1: .ascii \"{names}\"\n2:"
    )?;
    Ok(out)
}
