//! The private peripheral bus of a Cortex-M3 by address: its debug registers, and what identifies its components.
//!
//! | base | component |
//! |---|---|
//! | 0xE0000000 | ITM, trace by instrumentation |
//! | 0xE0001000 | DWT, watchpoints and samples |
//! | 0xE0002000 | FPB, breakpoints |
//! | 0xE000E000 | SCS, the system control space |
//! | 0xE0040000 | TPIU, the port of the trace |
//! | 0xE00FF000 | the ROM table that names them |

/// ITM: which of its ports are on.
pub const ITM_TER: u32 = 0xE000_0E00;
/// ITM: what of it is on.
pub const ITM_TCR: u32 = 0xE000_0E80;
/// ITM: unlocks its registers.
pub const ITM_LAR: u32 = 0xE000_0FB0;
/// ITM: whether they are locked.
pub const ITM_LSR: u32 = 0xE000_0FB4;
/// DWT: what it has and what of it is on.
pub const DWT_CTRL: u32 = 0xE000_1000;
/// DWT: cycles of the processor.
pub const DWT_CYCCNT: u32 = 0xE000_1004;
/// DWT: where the processor is.
pub const DWT_PCSR: u32 = 0xE000_101C;
/// DWT: the first comparator. COMP, MASK and FUNCTION are a word each, comparators 16 bytes apart.
pub const DWT_COMP0: u32 = 0xE000_1020;
/// FPB: how many comparators it has, and whether they are on.
pub const FP_CTRL: u32 = 0xE000_2000;
/// FPB: the first comparator, a word each.
pub const FP_COMP0: u32 = 0xE000_2008;
/// SCS: which processor this is.
pub const CPUID: u32 = 0xE000_ED00;
/// SCS: reset.
pub const AIRCR: u32 = 0xE000_ED0C;
/// SCS: why it halted.
pub const DFSR: u32 = 0xE000_ED30;
/// SCS: halt and step.
pub const DHCSR: u32 = 0xE000_EDF0;
/// SCS: which register of the processor moves to or from DCRDR.
pub const DCRSR: u32 = 0xE000_EDF4;
/// SCS: that register's value.
pub const DCRDR: u32 = 0xE000_EDF8;
/// SCS: catching of vectors, and whether DWT and ITM are on.
pub const DEMCR: u32 = 0xE000_EDFC;
/// TPIU: by how much the clock is divided for a bit.
pub const TPIU_ACPR: u32 = 0xE004_0010;
/// TPIU: how bits are sent.
pub const TPIU_SPPR: u32 = 0xE004_00F0;
/// TPIU: whether what is sent is formatted.
pub const TPIU_FFCR: u32 = 0xE004_0304;
/// TPIU: how bits can be sent.
pub const TPIU_TYPE: u32 = 0xE004_0FC8;
/// A vendor's: which pins carry the trace. STM32 chips have `DBGMCU_CR` here.
pub const DBGMCU_CR: u32 = 0xE004_2004;
/// The ROM table.
pub const ROM_TABLE: u32 = 0xE00F_F000;

/// DHCSR: writes count with this in the upper half alone.
pub const DBGKEY: u32 = 0xA05F_0000;
/// DHCSR: halting is on.
pub const C_DEBUGEN: u32 = 1 << 0;
/// DHCSR: the processor is to be halted.
pub const C_HALT: u32 = 1 << 1;
/// DHCSR: it is to execute one instruction.
pub const C_STEP: u32 = 1 << 2;
/// DHCSR: it is halted.
pub const S_HALT: u32 = 1 << 17;
/// DHCSR: it was reset since this was read last.
pub const S_RESET_ST: u32 = 1 << 25;
/// DEMCR: DWT and ITM are on.
pub const TRCENA: u32 = 1 << 24;
/// DEMCR: a reset halts the processor at its first instruction.
pub const VC_CORERESET: u32 = 1 << 0;
/// AIRCR: writes count with this in the upper half alone.
pub const VECTKEY: u32 = 0x05FA_0000;
/// AIRCR: reset the system.
pub const SYSRESETREQ: u32 = 1 << 2;

/// A Cortex-M3, revision r2p1.
pub(crate) const CORTEX_M3: u32 = 0x412F_C231;

const TPIU: u32 = 0xE004_0000;

/// Whether an address is on this bus.
pub(crate) fn has(address: u32) -> bool {
    address >> 20 == 0xE00
}

/// The word of the ROM table, or of a component's identification, at an address: 0 where there is none.
pub(crate) fn identification(address: u32) -> u32 {
    let base = address & 0xFFFF_F000;
    match (base, address & 0xFFF) {
        // Offset of the component from the table, 32-bit format, present.
        (ROM_TABLE, 0x000) => 0xFFF0_F003,
        (ROM_TABLE, 0x004) => 0xFFF0_2003,
        (ROM_TABLE, 0x008) => 0xFFF0_3003,
        (ROM_TABLE, 0x00C) => 0xFFF0_1003,
        (ROM_TABLE, 0x010) => 0xFFF4_1003,
        // MEMTYPE: memory can be reached by the same access port.
        (ROM_TABLE, 0xFCC) => 1,
        // DEVTYPE: a port of a trace.
        (TPIU, 0xFCC) => 0x11,
        (_, offset @ 0xFD0..) => component(base).map_or(0, |(part, class)| id_register(offset, part, class)),
        _ => 0,
    }
}

/// Part number and class, by CoreSight's tables.
fn component(base: u32) -> Option<(u32, u32)> {
    const GENERIC_IP: u32 = 0xE;
    const ROM: u32 = 0x1;
    const CORESIGHT: u32 = 0x9;
    match base {
        0xE000_0000 => Some((0x001, GENERIC_IP)),
        0xE000_1000 => Some((0x002, GENERIC_IP)),
        0xE000_2000 => Some((0x003, GENERIC_IP)),
        0xE000_E000 => Some((0x000, GENERIC_IP)),
        TPIU => Some((0x923, CORESIGHT)),
        ROM_TABLE => Some((0x4C3, ROM)),
        _ => None,
    }
}

/// PIDR0 to PIDR4 with Arm as the designer, CIDR0 to CIDR3.
fn id_register(offset: u32, part: u32, class: u32) -> u32 {
    match offset {
        0xFD0 => 0x04,
        0xFE0 => part & 0xFF,
        0xFE4 => 0xB0 | part >> 8,
        0xFE8 => 0x0B,
        0xFF0 => 0x0D,
        0xFF4 => class << 4,
        0xFF8 => 0x05,
        0xFFC => 0xB1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rom_table_leads_to_components() {
        let bases: Vec<u32> = (0..6)
            .map(|entry| identification(ROM_TABLE + 4 * entry))
            .take_while(|&entry| entry & 1 != 0)
            .map(|entry| ROM_TABLE.wrapping_add(entry & 0xFFFF_F000))
            .collect();
        assert_eq!(bases, [0xE000_E000, 0xE000_1000, 0xE000_2000, 0xE000_0000, 0xE004_0000]);
        for base in bases.into_iter().chain([ROM_TABLE]) {
            let preamble = [0xFF0, 0xFF8, 0xFFC].map(|offset| identification(base + offset));
            assert_eq!(preamble, [0x0D, 0x05, 0xB1], "{base:#x}");
        }
        assert_eq!(identification(0xE004_1FF0), 0);
    }
}
