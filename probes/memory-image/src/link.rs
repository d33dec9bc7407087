//! The link itself: an address leads to a part of a file, which is read there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use covtap_link::{
    AddrRange, Effect, Endianness, Link, LinkError, LinkInfo, MappedFile, MappedFiles, Operation,
    PhysicalMemory, PointerWidth, ReadMemory, ReadReport, ReadRequest,
};

use crate::core::{self, Core};
use crate::map::{Map, Piece, Stretch};
use crate::{DumpError, RawFile};

/// Memory that was dumped into files.
#[derive(Debug)]
pub struct MemoryImage {
    endpoint: String,
    kind: &'static str,
    files: Vec<File>,
    memory: Map,
    physical: Option<Map>,
    mapped: Mapped,
    endianness: Option<Endianness>,
    pointer_width: Option<PointerWidth>,
}

/// The files that a process had mapped, where the dump says so.
#[derive(Debug)]
struct Mapped(Option<Vec<MappedFile>>);

/// What the addresses of a read mean.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Program,
    Physical,
}

impl MemoryImage {
    /// Opens files that each have memory from an address on. Their addresses are taken for physical ones as well: what
    /// they are, only the user knows.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is empty, passes the end of memory, or has what another one has too.
    pub fn raw(files: &[RawFile]) -> Result<Self, DumpError> {
        let mut opened = Vec::with_capacity(files.len());
        let mut stretches = Vec::with_capacity(files.len());
        for (index, RawFile { path, addr }) in files.iter().enumerate() {
            let (file, len_bytes) = open(path)?;
            let range = AddrRange::new(*addr, len_bytes).filter(|range| !range.is_empty());
            let range = range.ok_or_else(|| DumpError::Extent {
                file: path.display().to_string(),
                len_bytes,
                addr: addr.get(),
            })?;
            stretches.push(Stretch { range, present_bytes: len_bytes, file: index, offset: 0 });
            opened.push(file);
        }
        let name =
            |index: usize| files.get(index).map_or_else(String::new, |raw| raw.path.display().to_string());
        let memory = Map::distinct(stretches).map_err(|(one, other)| DumpError::Overlap {
            first: name(one.file),
            second: name(other.file),
            range: shared(one.range, other.range),
        })?;
        let more = match files.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        Ok(Self {
            endpoint: format!("{}{more}", name(0)),
            kind: "raw memory",
            files: opened,
            physical: Some(memory.clone()),
            memory,
            mapped: Mapped(None),
            endianness: None,
            pointer_width: None,
        })
    }

    /// Opens an ELF core.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no ELF core or a damaged one.
    pub fn core(path: &Path) -> Result<Self, DumpError> {
        let (file, len_bytes) = open(path)?;
        let endpoint = path.display().to_string();
        let Core { memory, physical, files, kind, endianness, pointer_width } =
            core::read(&endpoint, &file, len_bytes)?;
        Ok(Self {
            endpoint,
            kind,
            files: vec![file],
            memory,
            physical,
            mapped: Mapped(files),
            endianness: Some(endianness),
            pointer_width: Some(pointer_width),
        })
    }

    fn read_as(&self, meaning: Meaning, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let started = Instant::now();
        let map = match (meaning, &self.physical) {
            (Meaning::Physical, Some(physical)) => physical,
            _ => &self.memory,
        };
        for ReadRequest { addr, buf } in reads {
            let len_bytes = buf.len() as u64;
            let operation = || Operation::Read { addr: *addr, len_bytes };
            let pieces = map.pieces(*addr, len_bytes).map_err(|absent| LinkError::NotThere {
                operation: operation(),
                endpoint: self.endpoint.clone(),
                reason: absent.to_string(),
            })?;
            self.fill(&pieces, buf).map_err(|source| LinkError::Io {
                operation: operation(),
                endpoint: self.endpoint.clone(),
                source,
            })?;
        }
        Ok(ReadReport { elapsed: started.elapsed(), pause: Duration::ZERO })
    }

    fn fill(&self, pieces: &[Piece], buf: &mut [u8]) -> io::Result<()> {
        let mut rest = buf;
        for piece in pieces {
            let file = self.files.get(piece.file).ok_or(io::ErrorKind::NotFound)?;
            let len = usize::try_from(piece.len_bytes).unwrap_or(usize::MAX);
            let (own, others) = rest.split_at_mut_checked(len).ok_or(io::ErrorKind::InvalidInput)?;
            file.read_exact_at(own, piece.offset)?;
            rest = others;
        }
        Ok(())
    }
}

/// Opens a file to be read, and nothing that would block or has no end.
fn open(path: &Path) -> Result<(File, u64), DumpError> {
    let wrong = |source: io::Error| DumpError::File { file: path.display().to_string(), source };
    // Before it is opened: opening a pipe would wait for whoever writes into it.
    let metadata = std::fs::metadata(path).map_err(wrong)?;
    if !metadata.is_file() {
        return Err(wrong(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let file = OpenOptions::new().read(true).open(path).map_err(wrong)?;
    let len_bytes = file.metadata().map_err(wrong)?.len();
    Ok((file, len_bytes))
}

/// What both ranges have; they do have something.
fn shared(one: AddrRange, other: AddrRange) -> AddrRange {
    let start = one.start().max(other.start());
    let end = one.end().min(other.end());
    AddrRange::new(start, end.get().saturating_sub(start.get())).unwrap_or(one)
}

impl ReadMemory for MemoryImage {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.read_as(Meaning::Program, reads)
    }
}

impl PhysicalMemory for MemoryImage {
    fn ranges(&mut self) -> Result<Vec<AddrRange>, LinkError> {
        Ok(self.physical.as_ref().map(Map::present).unwrap_or_default())
    }

    fn read_physical(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        self.read_as(Meaning::Physical, reads)
    }
}

impl MappedFiles for Mapped {
    fn files(&mut self) -> Result<Vec<MappedFile>, LinkError> {
        Ok(self.0.clone().unwrap_or_default())
    }
}

impl Link for MemoryImage {
    fn info(&self) -> LinkInfo {
        LinkInfo {
            endpoint: self.endpoint.clone(),
            server: self.kind.to_owned(),
            architecture: None,
            endianness: self.endianness,
            pointer_width: self.pointer_width,
            effect: Effect::Free,
            attach_pause: Duration::ZERO,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        Ok(Duration::ZERO)
    }

    fn physical(&mut self) -> Option<&mut dyn PhysicalMemory> {
        if self.physical.is_some() { Some(self) } else { None }
    }

    fn mapped_files(&mut self) -> Option<&mut dyn MappedFiles> {
        if self.mapped.0.is_some() { Some(&mut self.mapped) } else { None }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
