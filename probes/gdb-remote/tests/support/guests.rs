//! Guests of a few instructions, in machine code: each counts in a word of RAM, for ever.
//!
//! Beside its code a guest has 128 KiB of bytes that never change, to be compared with.

use std::path::PathBuf;

use covtap_testbed::{Guest, GuestBuilder, Machine};
use tempfile::TempDir;

/// Length of the bytes that never change.
pub(crate) const CONSTANT_LEN: usize = 128 * 1024;

/// A guest, and where its things are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiny {
    pub(crate) machine: Machine,
    elf_machine: u16,
    is_64_bit: bool,
    code: &'static [u8],
    code_addr: u64,
    entry: u64,
    /// Address of the 32-bit word that is counted up.
    pub(crate) counter: u64,
    /// Address of the bytes that never change.
    pub(crate) constant: u64,
    /// Address of an instruction in the loop.
    pub(crate) in_loop: u64,
    /// The breakpoint's size, as `Z0` has it.
    pub(crate) kind: u8,
    pub(crate) architecture: &'static str,
    pub(crate) pc: &'static str,
}

pub(crate) const ARM: Tiny = Tiny {
    machine: Machine::An385,
    elf_machine: 40,
    is_64_bit: false,
    #[rustfmt::skip]
    code: &[
        0x00, 0x10, 0x00, 0x20, // 00: .word 0x20001000   initial stack pointer
        0x09, 0x00, 0x00, 0x00, // 04: .word 0x08 | 1     reset vector
        0x20, 0x20,             // 08: movs r0, #0x20
        0x00, 0x06,             // 0a: lsls r0, r0, #24
        0x01, 0x68,             // 0c: ldr  r1, [r0]
        0x01, 0x31,             // 0e: adds r1, #1
        0x01, 0x60,             // 10: str  r1, [r0]
        0xfb, 0xe7,             // 12: b    0c
    ],
    code_addr: 0,
    entry: 9,
    counter: 0x2000_0000,
    constant: 0x1_0000,
    in_loop: 0x0e,
    kind: 2,
    architecture: "arm",
    pc: "pc",
};

/// Counts, and says "hi" over semihosting each time.
pub(crate) const ARM_THAT_TALKS: Tiny = Tiny {
    #[rustfmt::skip]
    code: &[
        0x00, 0x10, 0x00, 0x20, // 00: .word 0x20001000   initial stack pointer
        0x09, 0x00, 0x00, 0x00, // 04: .word 0x08 | 1     reset vector
        0x20, 0x24,             // 08: movs r4, #0x20
        0x24, 0x06,             // 0a: lsls r4, r4, #24
        0x22, 0x68,             // 0c: ldr  r2, [r4]
        0x01, 0x32,             // 0e: adds r2, #1
        0x22, 0x60,             // 10: str  r2, [r4]
        0x04, 0x20,             // 12: movs r0, #4        SYS_WRITE0
        0x01, 0xa1,             // 14: adr  r1, 1c
        0xab, 0xbe,             // 16: bkpt 0xab
        0xf8, 0xe7,             // 18: b    0c
        0x00, 0xbf,             // 1a: nop
        b'h', b'i', b'\n', 0,   // 1c: .asciz "hi\n"
    ],
    ..ARM
};

const RISCV_CODE: &[u8] = &[
    0x17, 0x05, 0x10, 0x00, // 00: auipc a0, 0x100
    0x83, 0x25, 0x05, 0x00, // 04: lw    a1, 0(a0)
    0x93, 0x85, 0x15, 0x00, // 08: addi  a1, a1, 1
    0x23, 0x20, 0xb5, 0x00, // 0c: sw    a1, 0(a0)
    0x6f, 0xf0, 0x5f, 0xff, // 10: j     04
];

pub(crate) const RISCV32: Tiny = Tiny {
    machine: Machine::Riscv32Virt,
    elf_machine: 243,
    is_64_bit: false,
    code: RISCV_CODE,
    code_addr: 0x8000_0000,
    entry: 0x8000_0000,
    counter: 0x8010_0000,
    constant: 0x8020_0000,
    in_loop: 0x8000_0008,
    kind: 4,
    architecture: "riscv:rv32",
    pc: "pc",
};

pub(crate) const RISCV64: Tiny =
    Tiny { machine: Machine::Riscv64Virt, is_64_bit: true, architecture: "riscv:rv64", ..RISCV32 };

pub(crate) const X86: Tiny = Tiny {
    machine: Machine::X86Pvh,
    elf_machine: 62,
    is_64_bit: true,
    #[rustfmt::skip]
    code: &[
        0xff, 0x05, 0x00, 0x00, 0x20, 0x00, // 00: inc dword [0x200000]   32-bit code, from the PVH entry
        0xeb, 0xf8,                         // 06: jmp 00
    ],
    code_addr: 0x10_0000,
    entry: 0x10_0000,
    counter: 0x20_0000,
    constant: 0x30_0000,
    in_loop: 0x10_0006,
    kind: 1,
    architecture: "i386:x86-64",
    pc: "rip",
};

pub(crate) const ALL: [Tiny; 4] = [ARM, RISCV32, RISCV64, X86];

/// The note that tells QEMU where a PVH guest starts: XEN_ELFNOTE_PHYS32_ENTRY (18) of `Xen`.
fn pvh_note(entry: u64) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4u32, 4, 18] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend(u32::try_from(entry).unwrap().to_le_bytes());
    note
}

impl Tiny {
    /// The bytes that never change.
    pub(crate) fn constant_bytes() -> Vec<u8> {
        let mut state = 1u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(CONSTANT_LEN)
        .collect()
    }

    /// The guest's ELF.
    fn elf(&self) -> Vec<u8> {
        const LOAD: u32 = 1;
        const NOTE: u32 = 4;
        let segments = [
            (LOAD, self.code_addr, self.code.to_vec()),
            (LOAD, self.constant, Self::constant_bytes()),
            (NOTE, 0, pvh_note(self.entry)),
        ];
        let (header_len, entry_len) = if self.is_64_bit { (64, 56) } else { (52, 32) };
        let mut elf = vec![0x7f, b'E', b'L', b'F', 1 + u8::from(self.is_64_bit), 1, 1];
        elf.resize(16, 0);
        let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
        let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
        let addr = |elf: &mut Vec<u8>, value: u64| {
            elf.extend(&value.to_le_bytes()[..if self.is_64_bit { 8 } else { 4 }]);
        };
        half(&mut elf, 2); // ET_EXEC
        half(&mut elf, self.elf_machine);
        word(&mut elf, 1);
        addr(&mut elf, self.entry);
        addr(&mut elf, header_len.into());
        addr(&mut elf, 0);
        word(&mut elf, 0);
        for value in [header_len, entry_len, segments.len() as u16, 0, 0, 0] {
            half(&mut elf, value);
        }
        let mut offset = u64::from(header_len) + u64::from(entry_len) * segments.len() as u64;
        for (kind, at, bytes) in &segments {
            let len = bytes.len() as u64;
            word(&mut elf, *kind);
            if self.is_64_bit {
                word(&mut elf, 7);
            }
            for value in [offset, *at, *at, len, len] {
                addr(&mut elf, value);
            }
            if !self.is_64_bit {
                word(&mut elf, 7);
            }
            addr(&mut elf, 4);
            offset += len;
        }
        segments.iter().for_each(|(_, _, bytes)| elf.extend(bytes));
        elf
    }

    /// Starts the guest, after `options` had a say.
    pub(crate) fn start(&self, options: impl FnOnce(GuestBuilder) -> GuestBuilder) -> TinyGuest {
        let dir = TempDir::with_prefix("covtap-tiny-").unwrap();
        let path: PathBuf = dir.path().join("tiny.elf");
        std::fs::write(&path, self.elf()).unwrap();
        let guest = options(Guest::builder(self.machine, path)).start().unwrap();
        TinyGuest { guest, dir }
    }
}

/// A guest that counts.
pub(crate) struct TinyGuest {
    pub(crate) guest: Guest,
    pub(crate) dir: TempDir,
}
