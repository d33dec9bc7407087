//! What the drivers have alike.

pub(super) const NAME: &str = "virtual probe";
pub(super) const DEFAULT_SPEED_KHZ: u32 = 4000;

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
            $crate::lock(&self.chip).reset_target();
            Ok(())
        }

        fn target_reset_assert(&mut self) -> Result<(), ::probe_rs::probe::DebugProbeError> {
            $crate::lock(&self.chip).set_reset_pin(true);
            Ok(())
        }

        fn target_reset_deassert(&mut self) -> Result<(), ::probe_rs::probe::DebugProbeError> {
            $crate::lock(&self.chip).set_reset_pin(false);
            Ok(())
        }

        fn into_probe(self: Box<Self>) -> Box<dyn ::probe_rs::probe::DebugProbe> {
            self
        }
    };
}
pub(super) use of_every_probe;
