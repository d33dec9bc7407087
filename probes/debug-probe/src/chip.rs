//! What is known of a chip before it is asked: its access port, and how its debug port is begun with.

use std::sync::Arc;

use probe_rs::architecture::arm::dp::DpAddress;
use probe_rs::architecture::arm::sequences::{ArmDebugSequence, DefaultArmSequence};
use probe_rs::architecture::arm::{ApV2Address, FullyQualifiedApAddress};
use probe_rs::config::{DebugSequence, Registry};
use probe_rs_target::{ApAddress, CoreAccessOptions, CoreType};

use crate::Options;

/// The part numbers of Cortex-M processors (`CPUID`, bits 4 to 15), and what `probe-rs` calls such processors.
const CORTEX_M: [(u16, &str, CoreType); 11] = [
    (0xc20, "Cortex-M0", CoreType::Armv6m),
    (0xc21, "Cortex-M1", CoreType::Armv6m),
    (0xc23, "Cortex-M3", CoreType::Armv7m),
    (0xc24, "Cortex-M4", CoreType::Armv7em),
    (0xc27, "Cortex-M7", CoreType::Armv7em),
    (0xc60, "Cortex-M0+", CoreType::Armv6m),
    (0xd20, "Cortex-M23", CoreType::Armv8m),
    (0xd21, "Cortex-M33", CoreType::Armv8m),
    (0xd22, "Cortex-M55", CoreType::Armv8m),
    (0xd23, "Cortex-M85", CoreType::Armv8m),
    (0xd31, "Cortex-M35P", CoreType::Armv8m),
];

/// A chip as it is reached.
pub(crate) struct Chip {
    /// Its name; none if none was said.
    pub(crate) name: Option<String>,
    pub(crate) access_port: FullyQualifiedApAddress,
    pub(crate) sequence: Arc<dyn ArmDebugSequence>,
    core: Option<CoreType>,
}

impl Chip {
    /// What the options say, or `probe-rs`'s table.
    ///
    /// # Errors
    ///
    /// The table does not have the chip, or what is in there is not reached here: why.
    pub(crate) fn of(options: &Options) -> Result<Self, String> {
        let Some(name) = &options.chip else {
            let number = options.access_port.unwrap_or(0);
            let access_port = FullyQualifiedApAddress::v1_with_default_dp(number);
            return Ok(Self { name: None, access_port, sequence: DefaultArmSequence::create(), core: None });
        };
        let mut registry = Registry::from_builtin_families();
        if let Some(description) = &options.chip_description {
            let added = registry.add_target_family_from_yaml(description);
            added.map_err(|error| format!("the chip description: {}", crate::choose::said(&error)))?;
        }
        let target = registry.get_target_by_name(name);
        let target = target.map_err(|error| crate::choose::said(&error))?;
        let core = target.cores.first().ok_or("the table has no processor of it")?;
        let CoreAccessOptions::Arm(access) = &core.core_access_options else {
            return Err("its processor is none of Arm's, and is not read without a halt here".to_owned());
        };
        let sequence = match target.debug_sequence {
            DebugSequence::Arm(sequence) => sequence,
            _ => DefaultArmSequence::create(),
        };
        let dp = access.targetsel.map_or(DpAddress::Default, DpAddress::Multidrop);
        let own = match access.ap {
            ApAddress::V1(number) => FullyQualifiedApAddress::v1_with_dp(dp, number),
            ApAddress::V2(base) => FullyQualifiedApAddress::v2_with_dp(dp, ApV2Address::new(base)),
        };
        let access_port =
            options.access_port.map_or(own, |number| FullyQualifiedApAddress::v1_with_dp(dp, number));
        Ok(Self { name: Some(target.name), access_port, sequence, core: Some(core.core_type) })
    }

    /// Whether the processor with this `CPUID` can be the chip's; else, what it is.
    pub(crate) fn check(&self, cpuid: u32) -> Result<(), String> {
        let (Some(core), Some(name)) = (self.core, &self.name) else { return Ok(()) };
        match processor(cpuid) {
            Some((found, kind)) if kind != core => {
                Err(format!("the processor is a {found}, and that of {name} is another ({core:?})"))
            }
            _ => Ok(()),
        }
    }
}

/// The Cortex-M that has this `CPUID`.
pub(crate) fn processor(cpuid: u32) -> Option<(&'static str, CoreType)> {
    let part = u16::try_from((cpuid >> 4) & 0xfff).ok()?;
    let found = CORTEX_M.iter().find(|(known, ..)| *known == part && cpuid >> 24 == 0x41);
    found.map(|(_, name, kind)| (*name, *kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip(name: &str) -> Result<Chip, String> {
        Chip::of(&Options { chip: Some(name.to_owned()), ..Options::default() })
    }

    #[test]
    fn processors_are_known_by_their_part_numbers() {
        assert_eq!(processor(0x412f_c231).map(|it| it.0), Some("Cortex-M3"));
        assert_eq!(processor(0x410c_c601).map(|it| it.0), Some("Cortex-M0+"));
        assert_eq!(processor(0), None);
        assert_eq!(processor(u32::MAX), None);
    }

    #[test]
    fn a_chip_with_another_processor_is_another_chip() {
        let chip = chip("STM32F407VGTx").unwrap();
        assert_eq!(chip.check(0x410f_c241), Ok(()));
        let wrong = chip.check(0x412f_c231).unwrap_err();
        assert_eq!(wrong, "the processor is a Cortex-M3, and that of STM32F407VGTx is another (Armv7em)");
    }

    #[test]
    fn a_chip_may_be_described() {
        let options = |description: &str| Options {
            chip: Some("MY-CHIP".to_owned()),
            chip_description: Some(description.to_owned()),
            ..Options::default()
        };
        let described = "
name: Mine
variants:
- name: MY-CHIP
  cores:
  - name: main
    type: armv7m
    core_access_options: !Arm
      ap: !v1 3
  memory_map:
  - !Ram
    range: {start: 0x20000000, end: 0x20001000}
    cores: [main]
  flash_algorithms: []
";
        let chip = Chip::of(&options(described)).unwrap();
        assert_eq!(chip.access_port.ap_v1().ok(), Some(3));
        let error = Chip::of(&options("name: [")).map(|_| ()).unwrap_err();
        assert!(error.starts_with("the chip description: "), "{error}");
    }

    #[test]
    fn chips_that_are_not_known_or_not_read_here_are_said() {
        assert!(chip("nothing").is_err());
        let error = chip("GD32VF103CBT6").map(|_| ()).unwrap_err();
        assert_eq!(error, "its processor is none of Arm's, and is not read without a halt here");
    }
}
