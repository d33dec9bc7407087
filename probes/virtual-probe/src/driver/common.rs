//! What the drivers have alike.

pub(super) const NAME: &str = "virtual probe";
pub(super) const DEFAULT_SPEED_KHZ: u32 = 4000;

/// The target's reset, low while it is asserted.
const PIN_NRESET: u32 = 0x80;
/// What a probe answers that cannot read its pins.
pub(super) const PINS_UNKNOWN: u32 = 0xFFFF_FFFF;

/// Whether the reset is to be asserted, where it is one of the pins that are moved.
pub(super) fn reset_pin(pin_out: u32, pin_select: u32) -> Option<bool> {
    (pin_select & PIN_NRESET != 0).then_some(pin_out & PIN_NRESET == 0)
}

/// What probe-rs asks of every probe, for a driver with a `chip` and a `speed_khz`.
macro_rules! of_every_probe {
    () => {
        fn get_name(&self) -> &str {
            $crate::driver::common::NAME
        }

        fn speed_khz(&self) -> u32 {
            self.speed_khz
        }

        fn set_speed(&mut self, speed_khz: u32) -> Result<u32, ::probe_rs::probe::DebugProbeError> {
            self.speed_khz = speed_khz;
            Ok(speed_khz)
        }

        fn detach(&mut self) -> Result<(), ::probe_rs::Error> {
            Ok(())
        }

        fn target_reset(&mut self) -> Result<(), ::probe_rs::probe::DebugProbeError> {
            $crate::SharedChip::from(self.chip.clone()).reset_target();
            Ok(())
        }

        fn target_reset_assert(&mut self) -> Result<(), ::probe_rs::probe::DebugProbeError> {
            $crate::SharedChip::from(self.chip.clone()).set_reset_pin(true);
            Ok(())
        }

        fn target_reset_deassert(&mut self) -> Result<(), ::probe_rs::probe::DebugProbeError> {
            $crate::SharedChip::from(self.chip.clone()).set_reset_pin(false);
            Ok(())
        }

        fn into_probe(self: Box<Self>) -> Box<dyn ::probe_rs::probe::DebugProbe> {
            self
        }
    };
}
pub(super) use of_every_probe;
