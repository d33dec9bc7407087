//! Memory behind a RISC-V debug module that is itself behind an access port of Arm's, as that of RP2350 is: its registers are
//! words there, four bytes each.
//!
//! What enters is the access port's memory; what leaves is words of the system bus. What always holds: the hart is never
//! halted; a read is believed only if the system bus has come to its end, whose address goes on with each word, and neither the
//! module nor the debug port has kept an error.
//!
//! Source: RISC-V External Debug Support 0.13.2, 3.10 and 3.12; RP2350 datasheet, 3.5 (where the registers are).

use std::thread;
use std::time::{Duration, Instant};

use probe_rs::architecture::arm::ArmError;
use probe_rs::architecture::arm::ap::{ApRegister, BD0, TAR};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;

use super::module::{
    self, AUTHENTICATED, DMACTIVE, SB_FIXED, SBACCESS_32, SBAUTOINCREMENT, SBBUSYERROR, SBERROR,
    SBREADONADDR, SBREADONDATA,
};
use crate::access::{self, none_was_refused};
use crate::memory::{self, Fault, Memory, Processor, Words};

/// Registers of the module, by number.
const DMCONTROL: u64 = 0x10;
const DMSTATUS: u64 = 0x11;
const SBCS: u64 = 0x38;
const SBADDRESS0: u64 = 0x39;
const SBDATA0: u64 = 0x3c;

/// A read at the address that is written, and the address goes on.
const FIRST: u32 = SBREADONADDR | SBACCESS_32 | SBAUTOINCREMENT;

/// The memory of a chip.
pub(crate) struct MemoryBehind<'a> {
    port: Box<dyn ArmMemoryInterface + 'a>,
    /// What `dmcontrol` was.
    found: u32,
    /// What `sbcs` says that does not change.
    fixed: u32,
}

impl<'a> MemoryBehind<'a> {
    /// Begins with the debug module.
    ///
    /// # Errors
    ///
    /// What came back, or why the chip is not read.
    pub(crate) fn new(mut port: Box<dyn ArmMemoryInterface + 'a>) -> Result<Self, Fault> {
        access::is_enabled(&mut *port)?;
        let found = access::read_word(&mut *port, 4 * DMCONTROL)? & DMACTIVE;
        let mut made = Self { port, found, fixed: 0 };
        made.activate()?;
        let (status, sbcs) = (made.register(DMSTATUS)?, made.register(SBCS)?);
        if status & AUTHENTICATED == 0 {
            return Err(Fault::Locked);
        }
        if !module::has_system_bus(sbcs) {
            return Err(Fault::NoSystemBus);
        }
        made.fixed = sbcs & SB_FIXED;
        made.clear_errors()?;
        none_was_refused(&mut *made.port)?;
        Ok(made)
    }

    /// Has the module in use, which may take it a while.
    fn activate(&mut self) -> Result<(), Fault> {
        const PATIENCE: Duration = Duration::from_millis(100);
        self.set(DMCONTROL, DMACTIVE)?;
        let began = Instant::now();
        loop {
            match self.register(DMCONTROL)? {
                control if control & DMACTIVE != 0 => return Ok(()),
                control if began.elapsed() > PATIENCE => return Err(Fault::Inactive(control)),
                _ => thread::yield_now(),
            }
        }
    }

    fn register(&mut self, number: u64) -> Result<u32, Fault> {
        access::read_word(&mut *self.port, 4 * number)
    }

    fn set(&mut self, number: u64, value: u32) -> Result<(), Fault> {
        access::write_word(&mut *self.port, 4 * number, value)
    }

    /// Reads a piece: each word that is taken has the bus read the next, but the last.
    fn read(&mut self, at: u64, words: &mut [u32]) -> Result<(), Fault> {
        let Some((last, others)) = words.split_last_mut() else { return Ok(()) };
        let start = u32::try_from(at).map_err(|_| Fault::from(ArmError::AddressOutOf32BitAddressSpace))?;
        let on_data = if others.is_empty() { 0 } else { SBREADONDATA };
        self.set(SBCS, FIRST | on_data | SBBUSYERROR | SBERROR)?;
        self.set(SBADDRESS0, start)?;
        if !others.is_empty() {
            self.take(others)?;
            self.set(SBCS, FIRST)?;
        }
        *last = self.register(SBDATA0)?;
        let (end, sbcs) = (self.register(SBADDRESS0)?, self.register(SBCS)?);
        let expected = start.wrapping_add(u32::try_from(words.len()).unwrap_or(u32::MAX).wrapping_mul(4));
        memory::same(self.fixed, sbcs & SB_FIXED)?;
        module::none_kept(sbcs)?;
        match sbcs & SBBUSYERROR {
            0 if end == expected => Ok(()),
            0 => Err(Fault::OtherAddress { expected, found: end }),
            _ => Err(Fault::Overtaken),
        }
    }

    /// Takes words by a register of a bank, which is read as often as wanted for one address.
    fn take(&mut self, words: &mut [u32]) -> Result<(), Fault> {
        let access_port = self.port.fully_qualified_address();
        let arm = self.port.get_arm_debug_interface().map_err(ArmError::from)?;
        let bank = u32::try_from(4 * SBDATA0).unwrap_or(0);
        arm.write_raw_ap_register(&access_port, TAR::ADDRESS, bank)?;
        arm.read_raw_ap_register_repeated(&access_port, BD0::ADDRESS, words)?;
        Ok(())
    }
}

impl Memory for MemoryBehind<'_> {
    fn processor(&self) -> Option<Processor> {
        Some(super::PROCESSOR)
    }

    fn sweep(&mut self, sweep: &mut [Words], progress: &dyn Fn()) -> Result<(), Fault> {
        memory::in_pieces(sweep, |at, piece| self.read(at, piece), progress)?;
        module::is_active(self.register(DMCONTROL)?)?;
        none_was_refused(&mut *self.port)
    }

    fn clear_errors(&mut self) -> Result<(), Fault> {
        access::clear_errors(&mut *self.port)?;
        self.set(SBCS, SBBUSYERROR | SBERROR | SBACCESS_32)
    }

    fn cause(&mut self, fault: Fault) -> Fault {
        access::cause(&mut *self.port, fault)
    }

    fn restore(&mut self) -> Result<(), Fault> {
        let found = self.found;
        self.set(DMCONTROL, found)?;
        none_was_refused(&mut *self.port)
    }
}
