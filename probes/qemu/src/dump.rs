//! Copies guest memory by QEMU's own hand, where the host lets nobody else look.
//!
//! `pmemsave` (physical) and `memsave` (virtual, of one CPU) write memory to a file. Which file, in the order
//! in which they are tried:
//! 1. one in memory (`memfd`) whose descriptor is handed to QEMU over the monitor's Unix socket (`add-fd`) and
//!    which it opens as `/proc/self/fd/N`: it works whoever QEMU runs as and whatever folders it sees;
//! 2. one in a folder of our own (mode 0700, removed afterwards): needs QEMU on this host, as this user or root;
//! 3. none: `xp` and `x` print the bytes through the monitor. Slow, but it works across hosts.
//!
//! What it does to the guest: its run state stays `running`, no CPU is stopped. But the monitor holds QEMU's big
//! lock while it copies: a CPU that needs the lock just then (for a device, an interrupt, a page fault in KVM's
//! slow path) waits for it.
//!
//! What always holds: a file is only believed if it has exactly the length asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::handed::HandedFile;
use crate::host::Piece;
use crate::human;
use crate::qmp::{Client, Command};

/// How many bytes one `xp` prints.
const TEXT_BLOCK_BYTES: usize = 4096;

/// Where a dump starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DumpPlace {
    /// A guest-physical address.
    Physical(u64),
    /// A virtual address of a CPU.
    Virtual { addr: u64, cpu: u32 },
}

/// How QEMU hands the bytes over.
#[derive(Debug)]
enum Way {
    Descriptor(HandedFile),
    Folder { dir: TempDir },
    Text,
}

/// A way by which QEMU hands memory over, found at the first use.
#[derive(Default, Debug)]
pub(crate) struct Dump {
    way: Option<Way>,
    /// Why no better way was found.
    refusals: Vec<String>,
}

impl Dump {
    /// What QEMU is asked to do, for a person.
    pub(crate) fn name(&self, is_virtual: bool) -> &'static str {
        match (&self.way, is_virtual) {
            (Some(Way::Text), false) => "xp",
            (Some(Way::Text), true) => "x",
            (_, false) => "pmemsave",
            (_, true) => "memsave",
        }
    }

    /// Why bytes come as text, if they do.
    pub(crate) fn refusals(&self) -> &[String] {
        if matches!(self.way, Some(Way::Text)) { &self.refusals } else { &[] }
    }

    /// Fills every piece.
    pub(crate) fn copy(
        &mut self,
        client: &mut Client,
        pieces: &mut [Piece<'_, DumpPlace>],
    ) -> Result<(), Failure> {
        for piece in pieces {
            self.copy_piece(client, piece)?;
        }
        Ok(())
    }

    /// Takes the descriptor back from QEMU and removes the folder.
    pub(crate) fn release(&mut self, client: &mut Client) -> Result<(), Failure> {
        match self.way.take() {
            Some(Way::Descriptor(handed)) => handed.take_back(client),
            Some(Way::Folder { dir }) => dir.close().map_err(Failure::Io),
            Some(Way::Text) | None => Ok(()),
        }
    }

    fn copy_piece(&mut self, client: &mut Client, piece: &mut Piece<'_, DumpPlace>) -> Result<(), Failure> {
        if let Some(way) = &self.way {
            return way.copy(client, piece);
        }
        let mut last = None;
        for find in [descriptor, folder, text] {
            let outcome = match find(client) {
                Ok(way) => way.copy(client, piece).map(|()| way),
                Err(failure) => Err(failure),
            };
            match outcome {
                Ok(way) => {
                    self.way = Some(way);
                    return Ok(());
                }
                Err(failure) if failure.leaves_monitor_usable() => {
                    self.refusals.push(failure.words());
                    last = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        self.refusals.clear();
        Err(last.unwrap_or_else(|| Failure::Unsupported("no way to dump memory".to_owned())))
    }
}

impl Way {
    fn copy(&self, client: &mut Client, piece: &mut Piece<'_, DumpPlace>) -> Result<(), Failure> {
        match self {
            Self::Descriptor(handed) => {
                client.execute(&save(piece, handed.path()))?;
                read_whole(handed.file(), piece.buf)?;
                // Gives the pages back until the next dump.
                handed.file().set_len(0).map_err(Failure::Io)
            }
            Self::Folder { dir } => {
                let path = dir.path().join("memory");
                client.execute(&save(piece, &path.display().to_string()))?;
                let written = File::open(&path).map_err(|error| not_here(&path, &error))?;
                read_whole(&written, piece.buf)
            }
            Self::Text => copy_text(client, piece),
        }
    }
}

fn save(piece: &Piece<'_, DumpPlace>, path: &str) -> Command {
    let size = piece.buf.len();
    match piece.place {
        DumpPlace::Physical(gpa) => {
            Command::new("pmemsave", json!({ "val": signed(gpa), "size": size, "filename": path }))
        }
        DumpPlace::Virtual { addr, cpu } => Command::new(
            "memsave",
            json!({ "val": signed(addr), "size": size, "filename": path, "cpu-index": cpu }),
        ),
    }
}

/// An address as QMP's schema has it: a signed 64-bit number (`val: int` in `qapi/machine.json`).
fn signed(addr: u64) -> i64 {
    i64::from_ne_bytes(addr.to_ne_bytes())
}

fn read_whole(file: &File, buf: &mut [u8]) -> Result<(), Failure> {
    let len = file.metadata().map_err(Failure::Io)?.len();
    if len != buf.len() as u64 {
        return Err(Failure::Refused(format!("QEMU wrote {len} of {} bytes", buf.len())));
    }
    file.read_exact_at(buf, 0).map_err(Failure::Io)
}

fn not_here(path: &std::path::Path, error: &io::Error) -> Failure {
    Failure::Refused(format!("what QEMU wrote to {} is not to be read here: {error}", path.display()))
}

fn descriptor(client: &mut Client) -> Result<Way, Failure> {
    Ok(Way::Descriptor(HandedFile::hand_over(client, "covtap-dump")?))
}

fn folder(_: &mut Client) -> Result<Way, Failure> {
    // TempDir makes it with mode 0700: nobody else can put a file, or a link, into QEMU's way.
    let dir = TempDir::with_prefix("covtap-dump-").map_err(Failure::Io)?;
    let path: PathBuf = dir.path().to_path_buf();
    if path.to_str().is_none() {
        return Err(Failure::Unsupported(format!("{} cannot be named in JSON", path.display())));
    }
    Ok(Way::Folder { dir })
}

fn text(_: &mut Client) -> Result<Way, Failure> {
    Ok(Way::Text)
}

fn copy_text(client: &mut Client, piece: &mut Piece<'_, DumpPlace>) -> Result<(), Failure> {
    let (command, start, cpu) = match piece.place {
        DumpPlace::Physical(gpa) => ("xp", gpa, None),
        DumpPlace::Virtual { addr, cpu } => ("x", addr, Some(cpu)),
    };
    let mut at = start;
    for blocks in piece.buf.chunks_mut(TEXT_BLOCK_BYTES * 16) {
        let places: Vec<u64> =
            (at..).step_by(TEXT_BLOCK_BYTES).take(blocks.len().div_ceil(TEXT_BLOCK_BYTES)).collect();
        let lines: Vec<String> = blocks
            .chunks(TEXT_BLOCK_BYTES)
            .zip(&places)
            .map(|(block, at)| format!("{command} /{}xb {at:#x}", block.len()))
            .collect();
        let printed = client.human(&lines, cpu)?;
        for ((block, at), printed) in blocks.chunks_mut(TEXT_BLOCK_BYTES).zip(&places).zip(&printed) {
            human::xp(*at, printed, block)?;
        }
        at = at.saturating_add(blocks.len() as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_the_upper_half_is_told_as_a_negative_number() {
        assert_eq!(signed(0x2000_0000), 0x2000_0000);
        assert_eq!(signed(0xffff_ffff_8000_0000), -0x8000_0000);
    }

    #[test]
    fn a_file_of_another_length_is_not_believed() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(8).expect("grow");
        assert!(read_whole(&file, &mut [0; 8]).is_ok());
        let failure = read_whole(&file, &mut [0; 9]).expect_err("too short");
        assert_eq!(failure.words(), "QEMU wrote 8 of 9 bytes");
        assert!(read_whole(&file, &mut [0; 7]).is_err());
    }
}
