//! A test access port, seen from its pins (IEEE 1149.1-2013, clause 6).
//!
//! What enters are levels of TCK, TMS and TDI; what leaves is the level of TDO. Behind it are data registers, which an
//! instruction selects ([`DataRegisters`]).
//!
//! What always holds:
//! - from any state, five clocks with TMS high lead to Test-Logic-Reset, where IDCODE is selected;
//! - TDO changes when TCK falls, all else happens when it rises;
//! - while the chip is cut off, TDO is high and nothing reaches the chip.

/// What Capture-IR shows: the two lowest bits tell a broken chain.
pub(crate) const IR_CAPTURE: u64 = 0b01;

/// What is behind a test access port.
pub(crate) trait DataRegisters {
    /// How many bits an instruction has, 8 at most.
    const IR_BITS: u32;
    /// The instruction that Test-Logic-Reset selects.
    const IR_IDCODE: u8;

    /// What a scan gives, and how many bits the selected register has. Instructions that are none select one bit of 0.
    fn capture(&mut self, instruction: u8) -> (u64, u32);

    /// What was scanned in takes effect.
    fn update(&mut self, instruction: u8, value: u64);

    /// Whether no wire leads to the chip.
    fn is_cut_off(&self) -> bool;

    /// Moves the chip's reset pin.
    fn set_reset_pin(&mut self, is_asserted: bool);
}

/// The states of a TAP (IEEE 1149.1, figure 6-1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    TestLogicReset,
    RunTestIdle,
    SelectDr,
    CaptureDr,
    ShiftDr,
    Exit1Dr,
    PauseDr,
    Exit2Dr,
    UpdateDr,
    SelectIr,
    CaptureIr,
    ShiftIr,
    Exit1Ir,
    PauseIr,
    Exit2Ir,
    UpdateIr,
}

impl State {
    fn next(self, tms: bool) -> Self {
        let (low, high) = match self {
            Self::TestLogicReset => (Self::RunTestIdle, Self::TestLogicReset),
            Self::RunTestIdle | Self::UpdateDr | Self::UpdateIr => (Self::RunTestIdle, Self::SelectDr),
            Self::SelectDr => (Self::CaptureDr, Self::SelectIr),
            Self::CaptureDr | Self::ShiftDr => (Self::ShiftDr, Self::Exit1Dr),
            Self::Exit1Dr => (Self::PauseDr, Self::UpdateDr),
            Self::PauseDr => (Self::PauseDr, Self::Exit2Dr),
            Self::Exit2Dr => (Self::ShiftDr, Self::UpdateDr),
            Self::SelectIr => (Self::CaptureIr, Self::TestLogicReset),
            Self::CaptureIr | Self::ShiftIr => (Self::ShiftIr, Self::Exit1Ir),
            Self::Exit1Ir => (Self::PauseIr, Self::UpdateIr),
            Self::PauseIr => (Self::PauseIr, Self::Exit2Ir),
            Self::Exit2Ir => (Self::ShiftIr, Self::UpdateIr),
        };
        if tms { high } else { low }
    }
}

/// A test access port. Each client begins with one in Test-Logic-Reset.
#[derive(Debug)]
pub(crate) struct Tap {
    state: State,
    tck: bool,
    tdo: bool,
    instruction: u8,
    shift: u64,
    shift_bits: u32,
}

impl Tap {
    /// The port of such registers, in Test-Logic-Reset.
    pub(crate) fn of<R: DataRegisters>() -> Self {
        Self {
            state: State::TestLogicReset,
            tck: false,
            tdo: true,
            instruction: R::IR_IDCODE,
            shift: 0,
            shift_bits: 1,
        }
    }

    /// The level of TDO.
    pub(crate) fn tdo(&self) -> bool {
        self.tdo
    }

    /// One whole clock. What it gives is TDO before the clock rises, which is when a host samples it.
    pub(crate) fn clock<R: DataRegisters>(&mut self, tms: bool, tdi: bool, registers: &mut R) -> bool {
        self.set_pins(false, tms, tdi, registers);
        let tdo = self.tdo;
        self.set_pins(true, tms, tdi, registers);
        tdo
    }

    /// Sets the levels of the pins.
    pub(crate) fn set_pins<R: DataRegisters>(&mut self, tck: bool, tms: bool, tdi: bool, registers: &mut R) {
        let was = std::mem::replace(&mut self.tck, tck);
        let is_shifting = matches!(self.state, State::ShiftDr | State::ShiftIr);
        if was && !tck && is_shifting {
            self.tdo = self.shift & 1 != 0 || registers.is_cut_off();
        }
        if was || !tck {
            return;
        }
        if is_shifting {
            self.shift = self.shift >> 1 | u64::from(tdi) << self.shift_bits.saturating_sub(1);
        }
        self.state = self.state.next(tms);
        if !registers.is_cut_off() {
            self.enter(registers);
        }
    }

    /// The port's own reset pin, or as good as.
    pub(crate) fn reset<R: DataRegisters>(&mut self) {
        self.state = State::TestLogicReset;
        self.instruction = R::IR_IDCODE;
    }

    /// What a state does when it is entered.
    fn enter<R: DataRegisters>(&mut self, registers: &mut R) {
        match self.state {
            State::TestLogicReset => self.instruction = R::IR_IDCODE,
            State::CaptureDr => (self.shift, self.shift_bits) = registers.capture(self.instruction),
            State::CaptureIr => (self.shift, self.shift_bits) = (IR_CAPTURE, R::IR_BITS),
            State::UpdateDr => registers.update(self.instruction, self.shift),
            State::UpdateIr => {
                let [low, ..] = self.shift.to_le_bytes();
                self.instruction = low;
            }
            _ => {}
        }
    }
}

/// The far end of a cable, for the tests of what is behind a port.
#[cfg(test)]
pub(crate) mod host {
    use std::sync::{Arc, Mutex};

    use super::{DataRegisters, Tap};
    use crate::lock;

    pub(crate) struct Host<R> {
        pub(crate) tap: Tap,
        pub(crate) chip: Arc<Mutex<R>>,
    }

    impl<R: DataRegisters> Host<R> {
        /// One that has reset the port and left it idle.
        pub(crate) fn new(chip: Arc<Mutex<R>>) -> Self {
            let mut host = Self { tap: Tap::of::<R>(), chip };
            host.reset();
            host
        }

        pub(crate) fn reset(&mut self) {
            for tms in [true, true, true, true, true, false] {
                self.clock(tms, false);
            }
        }

        pub(crate) fn clock(&mut self, tms: bool, tdi: bool) -> bool {
            self.tap.clock(tms, tdi, &mut *lock(&self.chip))
        }

        fn shift(&mut self, bits: u64, count: u32) -> u64 {
            let out = (0..count).fold(0, |out, bit| {
                let tdo = self.clock(bit + 1 == count, bits >> bit & 1 != 0);
                out | u64::from(tdo) << bit
            });
            self.clock(true, false);
            self.clock(false, false);
            out
        }

        pub(crate) fn instruction(&mut self, instruction: u8) -> u64 {
            for tms in [true, true, false, false] {
                self.clock(tms, false);
            }
            self.shift(u64::from(instruction), R::IR_BITS)
        }

        pub(crate) fn data(&mut self, bits: u64, count: u32) -> u64 {
            for tms in [true, false, false] {
                self.clock(tms, false);
            }
            self.shift(bits, count)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::host::Host;
    use super::*;
    use crate::lock;

    /// One register of eight bits at instruction 2, which shows what was written to it.
    #[derive(Default)]
    struct Registers {
        value: u64,
        is_cut_off: bool,
    }

    impl DataRegisters for Registers {
        const IR_BITS: u32 = 3;
        const IR_IDCODE: u8 = 1;

        fn capture(&mut self, instruction: u8) -> (u64, u32) {
            match instruction {
                1 => (0x1234_5679, 32),
                2 => (self.value, 8),
                _ => (0, 1),
            }
        }

        fn update(&mut self, instruction: u8, value: u64) {
            if instruction == 2 {
                self.value = value;
            }
        }

        fn is_cut_off(&self) -> bool {
            self.is_cut_off
        }

        fn set_reset_pin(&mut self, _is_asserted: bool) {}
    }

    fn host() -> Host<Registers> {
        Host::new(Arc::new(Mutex::new(Registers::default())))
    }

    #[test]
    fn an_instruction_selects_a_register() {
        let mut host = host();
        assert_eq!(host.data(0, 32), 0x1234_5679, "of a reset");
        assert_eq!(host.instruction(2), IR_CAPTURE);
        host.data(0xA5, 8);
        assert_eq!(host.data(0x5A, 8), 0xA5);
        host.instruction(7);
        assert_eq!(host.data(0b1011, 5), 0b1_0110, "one bit of bypass");
        host.reset();
        assert_eq!(host.data(0, 32), 0x1234_5679);
    }

    #[test]
    fn a_scan_may_pause() {
        let mut host = host();
        host.instruction(2);
        host.data(0xA5, 8);
        // To Shift-DR, four bits, by Pause-DR and Exit2-DR back, the other four.
        for tms in [true, false, false] {
            host.clock(tms, false);
        }
        let mut out = 0_u64;
        for bit in 0..4_u32 {
            out |= u64::from(host.clock(bit == 3, true)) << bit;
        }
        for tms in [false, false, true, false] {
            host.clock(tms, true);
        }
        for bit in 4..8_u32 {
            out |= u64::from(host.clock(bit == 7, false)) << bit;
        }
        host.clock(true, false);
        assert_eq!((out, lock(&host.chip).value), (0xA5, 0x0F));
    }

    #[test]
    fn what_is_cut_off_is_high_and_hears_nothing() {
        let mut host = host();
        host.instruction(2);
        lock(&host.chip).is_cut_off = true;
        assert_eq!(host.data(0x12, 8), 0xFF);
        lock(&host.chip).is_cut_off = false;
        assert_eq!(host.data(0x34, 8), 0);
    }
}
