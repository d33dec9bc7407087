//! Chooses how bytes are fetched, and fetches them.
//!
//! What enters is translated stretches and the buffers they fill; what leaves is filled buffers.
//!
//! What always holds:
//! - the process and the files were compared with what QEMU prints of the same memory before they are believed;
//!   from a file that shows nothing that proves it, no byte is taken;
//! - with [`MethodChoice::Auto`] a method that the host refuses is left for the next one, and the first reason
//!   is kept; a method chosen by name is never replaced by another.

use std::path::Path;
use std::sync::Arc;

use covtap_process::ProcessMemory;
use serde_json::{Value, json};

use crate::dump::{Dump, DumpPlace};
use crate::evidence::{Verdict, compare};
use crate::failure::Failure;
use crate::host::Piece;
use crate::host::file::SharedFile;
use crate::host::find::Candidates;
use crate::qmp::{Client, Command, Socket};
use crate::translate::{Backing, Stretch, Translator};
use crate::{AddressSpace, MethodChoice};

/// In how many memory regions the process is compared with the guest.
const MAX_COMPARED_REGIONS: usize = 8;

/// One read: its stretches in order, and the buffer that they fill together.
pub(crate) type Part<'a> = (Vec<Stretch>, &'a mut [u8]);

/// How bytes are fetched.
#[derive(Debug)]
pub(crate) struct Copier {
    choice: MethodChoice,
    process: Option<ProcessMemory>,
    files: Vec<SharedFile>,
    dump: Dump,
    reason: Option<String>,
}

/// Part of a buffer and where its bytes are.
#[derive(Clone, Copy, Debug)]
struct Segment {
    addr: u64,
    gpa: u64,
    len: usize,
    /// The file's index and the offset in its region, or `None` for a dump.
    file: Option<(usize, u64)>,
}

impl Copier {
    /// Finds the best of the methods that `choice` allows. `find` says who may be the QEMU process.
    pub(crate) fn choose(
        choice: MethodChoice,
        client: &mut Client,
        translator: &mut Translator,
        find: impl FnOnce(&Socket) -> Candidates,
    ) -> Result<Self, Failure> {
        let mut copier =
            Self { choice, process: None, files: Vec::new(), dump: Dump::default(), reason: None };
        if choice == MethodChoice::Monitor {
            return Ok(copier);
        }
        let found = find(client.socket());
        if choice != MethodChoice::SharedFile {
            match open_by_layout(client, translator, &found) {
                Ok(process) => {
                    copier.process = Some(process);
                    return Ok(copier);
                }
                Err(failure) if !failure.leaves_monitor_usable() => return Err(failure),
                Err(failure) if choice == MethodChoice::Process => return Err(failure),
                Err(failure) => copier.reason = Some(failure.words()),
            }
        }
        let backings = translator.largest(client, MAX_COMPARED_REGIONS)?;
        let (files, refused) = open_files(client, &backings, &found.pids)?;
        if files.is_empty() && choice == MethodChoice::SharedFile {
            return Err(Failure::Unsupported(refused));
        }
        copier.files = files;
        Ok(copier)
    }

    /// How bytes are fetched, for a person.
    pub(crate) fn name(&self, space: AddressSpace) -> String {
        let dump = self.dump.name(matches!(space, AddressSpace::Virtual { .. }));
        match (&self.process, self.files.is_empty(), self.choice) {
            (Some(_), _, _) => "process_vm_readv".to_owned(),
            (None, true, _) => dump.to_owned(),
            (None, false, MethodChoice::SharedFile) => "shared file".to_owned(),
            (None, false, _) => format!("shared file, else {dump}"),
        }
    }

    /// Why a better method is not used.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref().or_else(|| self.dump.refusals().first().map(String::as_str))
    }

    /// The id of the process that is read.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(ProcessMemory::pid)
    }

    /// Fills every buffer from its stretches.
    pub(crate) fn copy(
        &mut self,
        client: &mut Client,
        space: AddressSpace,
        parts: &mut [Part<'_>],
    ) -> Result<(), Failure> {
        if let Some(process) = &self.process {
            match process.copy(process_pieces(parts)).map_err(Failure::from) {
                Err(Failure::NotPermitted(reason)) if self.choice == MethodChoice::Auto => {
                    self.reason = Some(reason);
                    self.process = None;
                }
                other => return other,
            }
        }
        self.copy_otherwise(client, space, parts)
    }

    /// Takes back what was handed to QEMU.
    pub(crate) fn release(&mut self, client: &mut Client) -> Result<(), Failure> {
        self.dump.release(client)
    }

    fn copy_otherwise(
        &mut self,
        client: &mut Client,
        space: AddressSpace,
        parts: &mut [Part<'_>],
    ) -> Result<(), Failure> {
        let mut dumps = Vec::new();
        for (stretches, buf) in parts {
            self.prove_files(client, stretches)?;
            let mut rest: &mut [u8] = buf;
            for segment in self.segments(space, stretches)? {
                let (piece, left) = rest.split_at_mut_checked(segment.len).ok_or_else(too_long)?;
                rest = left;
                match segment.file.and_then(|(i, offset)| Some((self.files.get(i)?, offset))) {
                    Some((file, offset)) => file.copy(offset, piece)?,
                    None => dumps.push(Piece { place: segment.dump_place(space), buf: piece }),
                }
            }
        }
        self.dump.copy(client, &mut dumps)
    }

    /// The stretches with neighbours joined that one dump can fetch together.
    fn segments(&self, space: AddressSpace, stretches: &[Stretch]) -> Result<Vec<Segment>, Failure> {
        let is_virtual = matches!(space, AddressSpace::Virtual { .. });
        let mut segments: Vec<Segment> = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            let found = self.file_of(stretch);
            if found.is_none() && self.choice == MethodChoice::SharedFile {
                return Err(Failure::Unsupported(format!(
                    "no shared file holds {}, where {:#x} is",
                    stretch.backing.region, stretch.addr
                )));
            }
            let file = found.filter(|(index, _)| self.files.get(*index).is_some_and(|file| file.proven));
            let len = usize::try_from(stretch.len_bytes).map_err(|_| too_long())?;
            match segments.last_mut() {
                Some(last)
                    if file.is_none()
                        && last.file.is_none()
                        && (is_virtual || last.gpa.checked_add(last.len as u64) == Some(stretch.gpa)) =>
                {
                    last.len = last.len.saturating_add(len);
                }
                _ => segments.push(Segment { addr: stretch.addr, gpa: stretch.gpa, len, file }),
            }
        }
        Ok(segments)
    }

    fn file_of(&self, stretch: &Stretch) -> Option<(usize, u64)> {
        let index = self.files.iter().position(|file| file.region() == stretch.backing.region)?;
        Some((index, stretch.region_offset()?))
    }

    /// Compares files that were not proven yet with what QEMU prints; a file that shows other bytes goes.
    fn prove_files(&mut self, client: &mut Client, stretches: &[Stretch]) -> Result<(), Failure> {
        for stretch in stretches {
            let Some((index, _)) = self.file_of(stretch) else { continue };
            let Some(file) = self.files.get_mut(index).filter(|file| !file.proven) else { continue };
            match prove_file(client, file, stretch)? {
                Ok(()) => {}
                Err(reason) if self.choice == MethodChoice::SharedFile => {
                    return Err(Failure::Unsupported(reason));
                }
                Err(reason) => {
                    self.reason.get_or_insert(reason);
                    self.files.remove(index);
                }
            }
        }
        Ok(())
    }
}

impl Segment {
    fn dump_place(&self, space: AddressSpace) -> DumpPlace {
        match space {
            AddressSpace::Virtual { cpu } => DumpPlace::Virtual { addr: self.addr, cpu },
            AddressSpace::Physical | AddressSpace::Auto => DumpPlace::Physical(self.gpa),
        }
    }
}

fn too_long() -> Failure {
    Failure::Protocol("a range is longer than its buffer".to_owned())
}

fn process_pieces<'a>(parts: &'a mut [Part<'_>]) -> Vec<(u64, &'a mut [u8])> {
    let mut pieces = Vec::with_capacity(parts.len());
    for (stretches, buf) in parts {
        let mut rest: &mut [u8] = buf;
        for stretch in stretches.iter() {
            let len = usize::try_from(stretch.len_bytes).unwrap_or(usize::MAX).min(rest.len());
            let (piece, left) = rest.split_at_mut(len);
            pieces.push((stretch.hva(), piece));
            rest = left;
        }
    }
    pieces
}

/// How often the layout of a guest's memory is asked for before what disagrees with it is believed.
const MAX_LAYOUTS: usize = 3;

/// The first candidate that holds the guest's memory, or why none does. The firmware of a guest that boots changes the layout
/// (where it has its own code shown in place of memory), so that the one that was told may not be the one that is compared.
fn open_by_layout(
    client: &mut Client,
    translator: &mut Translator,
    found: &Candidates,
) -> Result<ProcessMemory, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let backings = translator.largest(client, MAX_COMPARED_REGIONS)?;
        match open_process(client, &backings, found) {
            Err(Failure::Unsupported(_)) if tries < MAX_LAYOUTS => translator.forget(),
            opened => return opened,
        }
    }
}

/// The first candidate that has the guest's memory laid out like this, or why none does.
fn open_process(
    client: &mut Client,
    backings: &[Arc<Backing>],
    found: &Candidates,
) -> Result<ProcessMemory, Failure> {
    if backings.is_empty() {
        return Err(Failure::Unsupported("the monitor shows no memory to compare a process with".to_owned()));
    }
    let mut refusal = None;
    for pid in &found.pids {
        let outcome = open_candidate(*pid).and_then(|process| {
            prove_process(client, &process, backings)?;
            Ok(process)
        });
        match outcome {
            Ok(process) => return Ok(process),
            Err(failure @ (Failure::Timeout { .. } | Failure::Protocol(_))) => return Err(failure),
            // A candidate that ended or cannot be read; the most telling reason is that of the likeliest one.
            Err(Failure::Closed) => {}
            Err(failure) => refusal = Some(refusal.unwrap_or(failure)),
        }
    }
    client.pump()?;
    Err(match refusal {
        Some(Failure::Io(error)) => Failure::NotPermitted(error.to_string()),
        Some(failure) => failure,
        None => Failure::Unsupported(format!("the QEMU process was not found: {}", found.searched)),
    })
}

fn open_candidate(pid: i32) -> Result<ProcessMemory, Failure> {
    ProcessMemory::open(pid)
        .map_err(|error| Failure::Unsupported(format!("pidfd_open of process {pid}: {error}")))
}

fn prove_process(
    client: &mut Client,
    process: &ProcessMemory,
    backings: &[Arc<Backing>],
) -> Result<(), Failure> {
    let pid = process.pid();
    for backing in backings {
        let copy = &mut |gpa: u64, buf: &mut [u8]| {
            let place = backing.hva.wrapping_add(gpa.wrapping_sub(backing.first));
            process.copy([(place, buf)]).map_err(|error| match Failure::from(error) {
                Failure::Stale { hva } => Failure::Unsupported(format!(
                    "process {pid} has nothing mapped at {hva:#x}, it is not QEMU"
                )),
                other => other,
            })
        };
        copy(backing.last, &mut [0])?;
        match compare(client, backing.first, backing.last, copy)? {
            Verdict::Same => return Ok(()),
            // A whole region mapped at the address that QEMU told is believed even if nothing was written yet.
            Verdict::Unproven => {}
            Verdict::Other => {
                let (addr, region) = (backing.first, &backing.region);
                let why = format!("process {pid} does not hold the guest's memory at {addr:#x} ({region})");
                return Err(Failure::Unsupported(why));
            }
        }
    }
    Ok(())
}

/// The files of all shared memory backends, and in words why there are no more.
fn open_files(
    client: &mut Client,
    backings: &[Arc<Backing>],
    pids: &[i32],
) -> Result<(Vec<SharedFile>, String), Failure> {
    let mut files = Vec::new();
    let mut refused = "the guest has no memory backend with share=on".to_owned();
    let listed = match client.execute(&Command::new("query-memdev", json!({}))) {
        Err(failure) if failure.leaves_monitor_usable() => return Ok((files, failure.words())),
        other => other?,
    };
    for backend in listed.as_array().into_iter().flatten() {
        let shared = backend.get("share").and_then(Value::as_bool) == Some(true);
        let Some(id) = backend.get("id").and_then(Value::as_str).filter(|_| shared) else { continue };
        match open_file(client, id, backings, pids)? {
            Ok(file) => files.push(file),
            Err(why) => refused = why,
        }
    }
    Ok((files, refused))
}

/// The file behind the backend `id`: the one that a process at the monitor's other end has mapped, else the
/// one at the path that QEMU tells.
fn open_file(
    client: &mut Client,
    id: &str,
    backings: &[Arc<Backing>],
    pids: &[i32],
) -> Result<Result<SharedFile, String>, Failure> {
    let mut refused = format!("the backend {id} names no file");
    let backing = backings.iter().find(|backing| backing.region == id);
    for (pid, backing) in pids.iter().flat_map(|pid| backing.map(|backing| (*pid, backing))) {
        let Ok(mut file) = SharedFile::open_through(pid, backing) else { continue };
        if prove_in(client, &mut file, backings)?.is_ok() {
            // It is mapped where QEMU has the region, whatever bytes are in it.
            file.proven = true;
            return Ok(Ok(file));
        }
    }
    let path = property(client, id, "mem-path")?;
    if let Some(path) = path.as_ref().and_then(Value::as_str) {
        // Without the property (before QEMU 8.1) a backend starts at its file's start.
        let offset = property(client, id, "offset")?.as_ref().and_then(Value::as_u64).unwrap_or(0);
        match SharedFile::open(id, Path::new(path), offset) {
            Ok(mut file) => match prove_in(client, &mut file, backings)? {
                Ok(()) => return Ok(Ok(file)),
                Err(why) => refused = why,
            },
            Err(why) => refused = why,
        }
    }
    Ok(Err(refused))
}

fn property(client: &mut Client, id: &str, name: &str) -> Result<Option<Value>, Failure> {
    let arguments = json!({ "path": format!("/objects/{id}"), "property": name });
    match client.execute(&Command::new("qom-get", arguments)) {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.leaves_monitor_usable() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Compares a file with what QEMU prints of its region, until bytes other than zero agree.
fn prove_in(
    client: &mut Client,
    file: &mut SharedFile,
    backings: &[Arc<Backing>],
) -> Result<Result<(), String>, Failure> {
    for backing in backings {
        if backing.region != file.region() || file.proven {
            continue;
        }
        let len_bytes = (backing.last - backing.first).saturating_add(1);
        let (addr, backing) = (backing.first, Arc::clone(backing));
        if let Err(why) = prove_file(client, file, &Stretch { addr, gpa: addr, len_bytes, backing })? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

/// Compares a file with what QEMU prints of a stretch. Zeros alone prove nothing: the file stays unproven.
fn prove_file(
    client: &mut Client,
    file: &mut SharedFile,
    stretch: &Stretch,
) -> Result<Result<(), String>, Failure> {
    let Some(start) = stretch.region_offset() else { return Ok(Ok(())) };
    let last = stretch.gpa.saturating_add(stretch.len_bytes.saturating_sub(1));
    let copy =
        &mut |gpa: u64, buf: &mut [u8]| file.copy(start.saturating_add(gpa.saturating_sub(stretch.gpa)), buf);
    match compare(client, stretch.gpa, last, copy) {
        Ok(Verdict::Same) => file.proven = true,
        Ok(Verdict::Unproven) => {}
        Ok(Verdict::Other) => {
            return Ok(Err(format!("the file behind {} does not hold the guest's memory", file.region())));
        }
        Err(failure) if failure.leaves_monitor_usable() => return Ok(Err(failure.words())),
        Err(failure) => return Err(failure),
    }
    Ok(Ok(()))
}
