//! What the header of a process's program says: byte order, width, and whether it is of this host's own kind.
//!
//! ```text
//!  0   4 class   5 data         18 machine
//! +------+-------+------- ... -+---------+
//! | \x7fELF | 1,2 | 1,2 | ...     | 2 bytes |
//! +------+-------+------- ... -+---------+
//! ```
//! Source: System V ABI, chapter 4.

use std::fs::File;
use std::io::Read;

use covtap_link::{Endianness, PointerWidth};

const HEADER_BYTES: usize = 20;

/// What is known of a program; nothing of one that cannot be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Program {
    pub(crate) endianness: Option<Endianness>,
    pub(crate) pointer_width: Option<PointerWidth>,
    /// Its number, in its own byte order.
    machine: Option<[u8; 2]>,
}

impl Program {
    /// The program that process `pid` runs.
    pub(crate) fn of(pid: i32) -> Self {
        Self::read(&format!("/proc/{pid}/exe")).unwrap_or_default()
    }

    /// The architecture, if it is that of covtap itself.
    pub(crate) fn architecture(self) -> Option<&'static str> {
        let own = Self::read("/proc/self/exe")?;
        (self == own).then_some(std::env::consts::ARCH)
    }

    fn read(path: &str) -> Option<Self> {
        let mut header = [0; HEADER_BYTES];
        File::open(path).ok()?.read_exact(&mut header).ok()?;
        Self::parse(&header)
    }

    fn parse(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let [0x7f, b'E', b'L', b'F', class, data, .., machine_0, machine_1] = *header else { return None };
        Some(Self {
            endianness: match data {
                1 => Some(Endianness::Little),
                2 => Some(Endianness::Big),
                _ => None,
            },
            pointer_width: match class {
                1 => Some(PointerWidth::Bits32),
                2 => Some(PointerWidth::Bits64),
                _ => None,
            },
            machine: Some([machine_0, machine_1]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_of_this_architecture() {
        let own = Program::of(i32::try_from(std::process::id()).expect("a process id"));
        assert_eq!(own.architecture(), Some(std::env::consts::ARCH));
        assert_eq!(own.pointer_width.map(PointerWidth::bytes), Some(size_of::<usize>()));
    }

    #[test]
    fn what_is_no_elf_says_nothing() {
        assert_eq!(Program::parse(&[0; HEADER_BYTES]), None);
        let mut header = [0; HEADER_BYTES];
        header[..6].copy_from_slice(b"\x7fELF\x01\x02");
        let big = Program::parse(&header).expect("an ELF");
        assert_eq!((big.endianness, big.pointer_width), (Some(Endianness::Big), Some(PointerWidth::Bits32)));
    }
}
