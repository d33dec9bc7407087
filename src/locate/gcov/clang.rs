//! Finds the tables that clang's `--coverage` gives its function that writes files.
//!
//! ```text
//! file_info     ptr filename; u32 version, stamp; u32 n_functions; ptr functions, arcs      which are arrays of
//! functions     u32 ident, lineno_checksum, cfg_checksum
//! arcs          u32 num; ptr counters
//! ```
//!
//! What enters is [`Memory`] and where it has a version; what leaves is [`Draft`]s and what looked like one. Nothing in
//! the tables points back to them. What always holds instead: functions are numbered from 0 on, and their
//! `cfg_checksum` is the file's stamp.
//!
//! Optimised, that function has the tables in its code, and none of this is found.
//!
//! Source: `insertCounterWriteout` in `llvm/lib/Transforms/Instrumentation/GCOVProfiling.cpp`, llvmorg-14.0.6 and
//! llvmorg-19.1.7.

use super::layout::{CounterKind, Dialect, MergeFn, Version};
use super::memory::{Fields, Place};
use super::objects::{
    CountersDraft, Draft, Exhausted, FunctionDraft, Misfit, OBJECT_BYTES, Outcome, Reading, Slot,
};

/// What is kept of a function at least.
const FUNCTION_BYTES: u64 = 64;

/// A file's own fields.
struct FileInfo {
    filename: Vec<u8>,
    stamp: u32,
    n_functions: u32,
    functions: u64,
    arcs: u64,
}

impl Reading<'_, '_> {
    /// Looks at what has a version at that place.
    pub(super) fn look_at_clangs(&mut self, version_at: Place, version: Version) -> Result<(), Exhausted> {
        let at = version_at.before(self.memory.pointer_bytes()).filter(|at| !self.seen.contains_key(at));
        let Some(at) = at else { return Ok(()) };
        let Some(info) = self.file_info(at)? else { return Ok(()) };
        self.spend(OBJECT_BYTES)?;
        let filename = info.filename.clone();
        let misfit = Misfit { address: at.address(), version, filename, detail: String::new() };
        let outcome = match self.functions_of(&info, version)? {
            Err(detail) => Outcome::Misfit(detail),
            Ok(slots) => Outcome::Fits(Draft {
                dialect: Dialect::Clang,
                version,
                stamp: info.stamp,
                checksum: None,
                filename: info.filename,
                table: info.arcs,
                slots,
            }),
        };
        self.seen.insert(at, (misfit, outcome));
        Ok(())
    }

    /// The fields; `None` if it has no name of a file, or is none in another way.
    fn file_info(&mut self, at: Place) -> Result<Option<FileInfo>, Exhausted> {
        let mut fields = Fields::new(self.memory, at);
        let all = (|| {
            let name = fields.pointer()?.address()?;
            let (_version, stamp, n_functions) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let (functions, arcs) = (fields.pointer()?.address()?, fields.pointer()?.address()?);
            (n_functions > 0).then_some((name, stamp, n_functions, functions, arcs))
        })();
        let Some((name, stamp, n_functions, functions, arcs)) = all else { return Ok(None) };
        let filename = self.filename(name)?;
        Ok(filename.map(|filename| FileInfo { filename, stamp, n_functions, functions, arcs }))
    }

    fn functions_of(
        &mut self,
        info: &FileInfo,
        version: Version,
    ) -> Result<Result<Vec<Slot>, String>, Exhausted> {
        if Dialect::Clang.layout(version).is_none() {
            return Ok(Err("no tool reads the files that clang writes of that version".to_owned()));
        }
        let memory = self.memory;
        let start = |address| Fields::new(memory, Place::loaded(address));
        let (mut functions, mut arcs) = (start(info.functions), start(info.arcs));
        let mut slots = Vec::new();
        for ident in 0..info.n_functions {
            self.spend(FUNCTION_BYTES)?;
            match self.function_of_clang(info, ident, &mut functions, &mut arcs) {
                Ok(function) => slots.push(Slot::Own(function)),
                Err(detail) => return Ok(Err(format!("function {ident}: {detail}"))),
            }
        }
        Ok(Ok(slots))
    }

    fn function_of_clang(
        &self,
        info: &FileInfo,
        expected: u32,
        functions: &mut Fields<'_, '_>,
        arcs: &mut Fields<'_, '_>,
    ) -> Result<FunctionDraft, String> {
        let mut word = || functions.u32().ok_or_else(|| "its checksums are not in the image".to_owned());
        let (ident, lineno_checksum, cfg_checksum) = (word()?, word()?, word()?);
        if ident != expected || cfg_checksum != info.stamp {
            return Err(format!("its ident is {ident:#x} and its cfg_checksum {cfg_checksum:#010x}"));
        }
        let cut = || "where its counters are is not in the image".to_owned();
        arcs.align().ok_or_else(cut)?;
        let (num, values) = arcs.u32().zip(arcs.pointer()).ok_or_else(cut)?;
        let address = values.address().unwrap_or(0);
        let arcs = CountersDraft { index: 0, kind: CounterKind::Arcs, merge: MergeFn::Add, num, address };
        let counters = vec![arcs.checked(self.memory)?];
        Ok(FunctionDraft { ident, lineno_checksum, cfg_checksum, counters })
    }
}
