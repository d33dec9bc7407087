//! What is behind the access port: memory and a processor.

mod qemu;
mod ram;

use std::num::ParseIntError;
use std::str::FromStr;

pub use qemu::Qemu;
pub use ram::Ram;

/// Memory and a processor, as a debugger's accesses reach them.
pub trait Target: Send {
    /// Fills `bytes` from memory.
    ///
    /// # Errors
    ///
    /// [`TargetError::Unmapped`] where there is no memory, which is a bus fault; others if the target is gone.
    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), TargetError>;

    /// Writes `bytes` to memory.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), TargetError>;

    /// Where the processor is now.
    ///
    /// # Errors
    ///
    /// The target is gone.
    fn pc(&mut self) -> Result<u32, TargetError>;

    /// Stops the processor.
    ///
    /// # Errors
    ///
    /// The target is gone.
    fn halt(&mut self) -> Result<(), TargetError>;

    /// Lets it run on.
    ///
    /// # Errors
    ///
    /// The target is gone.
    fn resume(&mut self) -> Result<(), TargetError>;

    /// Executes one instruction of a halted processor.
    ///
    /// # Errors
    ///
    /// The target is gone, or cannot step.
    fn step(&mut self) -> Result<(), TargetError>;

    /// Resets it. It runs afterwards if it ran before.
    ///
    /// # Errors
    ///
    /// The target is gone.
    fn reset(&mut self) -> Result<(), TargetError>;

    /// A register of the processor by DCRSR's number: 0 to 15 are R0 to PC, 16 is xPSR.
    ///
    /// # Errors
    ///
    /// The target is gone.
    fn read_register(&mut self, number: u8) -> Result<u32, TargetError>;

    /// Writes such a register.
    ///
    /// # Errors
    ///
    /// The target is gone, or its registers cannot be written.
    fn write_register(&mut self, number: u8, value: u32) -> Result<(), TargetError>;

    /// A register of a RISC-V hart.
    ///
    /// # Errors
    ///
    /// [`TargetError::Unsupported`] for one that it does not have; others if the target is gone.
    fn read_hart_register(&mut self, _register: HartRegister) -> Result<u32, TargetError> {
        Err(TargetError::Unsupported("read a register of a hart"))
    }
}

/// A register of a RISC-V hart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HartRegister {
    /// Of x0 to x31, this one.
    X(u8),
    /// Where it is.
    Pc,
    /// A control and status register, by its number.
    Csr(u16),
}

/// What a target could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// There is no memory. On the bus this is a fault.
    #[error("access {len_bytes} bytes at {address:#x}: no memory there")]
    Unmapped {
        /// The first byte's address.
        address: u32,
        /// How many bytes were asked for.
        len_bytes: usize,
    },
    /// An answer that is not what the protocol says.
    #[error("{asked}: answered {answer:?}")]
    Answer {
        /// What was asked for.
        asked: String,
        /// What came.
        answer: String,
    },
    /// A power that this target does not have.
    #[error("{0}: this target cannot do it")]
    Unsupported(&'static str),
    /// A socket failed.
    #[error("{asked}")]
    Io {
        /// What was asked for.
        asked: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// QEMU's monitor refused, or is gone.
    #[error("monitor: {0:#}")]
    Monitor(anyhow::Error),
}

/// A range of addresses with memory behind it: `BASE:LEN`, decimal or hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryRange {
    /// The first address.
    pub base: u32,
    /// How many bytes.
    pub len_bytes: u32,
}

impl MemoryRange {
    /// Whether all of `len_bytes` from `address` on is in it.
    #[must_use]
    pub fn contains(self, address: u32, len_bytes: usize) -> bool {
        let offset = address.checked_sub(self.base).map(u64::from);
        let end = offset.zip(u64::try_from(len_bytes).ok()).and_then(|(at, len)| at.checked_add(len));
        end.is_some_and(|end| end <= u64::from(self.len_bytes))
    }
}

/// A range is not spelled as one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MemoryRangeError {
    /// No colon.
    #[error("memory {0:?}: expected BASE:LEN")]
    Shape(String),
    /// One of the two is no 32-bit number.
    #[error("memory {text:?}")]
    Number {
        /// The whole range.
        text: String,
        /// What is wrong.
        #[source]
        source: ParseIntError,
    },
}

impl FromStr for MemoryRange {
    type Err = MemoryRangeError;

    fn from_str(text: &str) -> Result<Self, MemoryRangeError> {
        let (base, len) = text.split_once(':').ok_or_else(|| MemoryRangeError::Shape(text.to_owned()))?;
        let number = |digits: &str| {
            let parsed = match digits.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            parsed.map_err(|source| MemoryRangeError::Number { text: text.to_owned(), source })
        };
        Ok(Self { base: number(base)?, len_bytes: number(len)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_and_has_its_bytes_alone() {
        let range: MemoryRange = "0x20000000:4096".parse().expect("a range");
        assert_eq!(range, MemoryRange { base: 0x2000_0000, len_bytes: 4096 });
        assert!(range.contains(0x2000_0000, 4096) && range.contains(0x2000_0ffc, 4));
        assert!(!range.contains(0x2000_0ffd, 4) && !range.contains(0x1fff_ffff, 1));
        assert!(!range.contains(0x2000_0000, usize::MAX));
        for wrong in ["", "1", "0x:1", "1:0x100000000", "-1:1"] {
            assert!(wrong.parse::<MemoryRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_may_end_where_addresses_do() {
        let last = MemoryRange { base: 0xffff_f000, len_bytes: 0x1000 };
        assert!(last.contains(0xffff_fffc, 4) && !last.contains(0xffff_fffc, 8));
    }
}
