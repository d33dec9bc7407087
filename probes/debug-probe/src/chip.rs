//! What is known of a chip before it is asked: the way to its memory, and how that is begun with.

use std::sync::Arc;

use probe_rs::Target;
use probe_rs::architecture::arm::dp::DpAddress;
use probe_rs::architecture::arm::sequences::{ArmDebugSequence, DefaultArmSequence};
use probe_rs::architecture::arm::{ApV2Address, FullyQualifiedApAddress};
use probe_rs::config::{DebugSequence, Registry};
use probe_rs_target::{ApAddress, Core, CoreAccessOptions, CoreType, RiscvCoreAccessOptions};

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
    /// Its name, and its processor's where it has several; none if none was said.
    pub(crate) name: Option<String>,
    pub(crate) way: Way,
}

/// The way to a chip's memory.
pub(crate) enum Way {
    Arm(ArmWay),
    Riscv(RiscvWay),
    /// Nothing was said: what is found.
    Either {
        access_port: Option<u8>,
    },
}

/// Through an access port.
pub(crate) struct ArmWay {
    pub(crate) access_port: FullyQualifiedApAddress,
    pub(crate) sequence: Arc<dyn ArmDebugSequence>,
    /// Whether it leads to the registers of a RISC-V debug module, and not to memory.
    pub(crate) is_of_module: bool,
    core: Option<(String, CoreType)>,
}

/// Through a debug module.
#[derive(Default)]
pub(crate) struct RiscvWay {
    /// What `probe-rs` knows of the chip.
    pub(crate) target: Option<Target>,
    /// Which hart, where one has to be halted.
    pub(crate) hart: Option<u32>,
    /// Which of the chain.
    pub(crate) tap: usize,
}

impl Chip {
    /// What the options say, or `probe-rs`'s table.
    ///
    /// # Errors
    ///
    /// The table does not have the chip, or what is in there is not reached here: why.
    pub(crate) fn of(options: &Options) -> Result<Self, String> {
        let Some(name) = &options.chip else {
            if options.core.is_some() {
                return Err("a processor is chosen among those of a chip, which has to be named".to_owned());
            }
            return Ok(Self { name: None, way: Way::Either { access_port: options.access_port } });
        };
        let mut registry = Registry::from_builtin_families();
        if let Some(description) = &options.chip_description {
            let added = registry.add_target_family_from_yaml(description);
            added.map_err(|error| format!("the chip description: {}", crate::choose::said(&error)))?;
        }
        let target = registry.get_target_by_name(name);
        let target = target.map_err(|error| crate::choose::said(&error))?;
        let (core, name) = core(&target, options.core)?;
        let access = core.core_access_options.clone();
        let way = match access {
            CoreAccessOptions::Arm(access) => {
                Way::Arm(ArmWay::of(&target, core, access.targetsel, &access.ap, options))
            }
            CoreAccessOptions::Riscv(RiscvCoreAccessOptions { mem_ap: Some(access_port), .. }) => {
                let way = ArmWay::of(&target, core, None, &access_port, options);
                Way::Arm(ArmWay { is_of_module: true, ..way })
            }
            CoreAccessOptions::Riscv(access) => {
                let (hart, tap) = (access.hart_id, access.jtag_tap.unwrap_or(0));
                Way::Riscv(RiscvWay { target: Some(target), hart, tap })
            }
            CoreAccessOptions::Xtensa(_) => {
                return Err(
                    "its processor is an Xtensa, which has to be halted for each read, and is not read here"
                        .to_owned(),
                );
            }
        };
        Ok(Self { name: Some(name), way })
    }
}

/// One of a chip's processors, and what the chip is called with it.
fn core(target: &Target, number: Option<usize>) -> Result<(&Core, String), String> {
    let num = target.cores.len();
    let core = target.cores.get(number.unwrap_or(0));
    let core =
        core.ok_or_else(|| format!("{} has {num} processors, of which the first is number 0", target.name))?;
    let name = match num {
        0 | 1 => target.name.clone(),
        _ => format!("{} ({}, number {} of {num})", target.name, core.name, number.unwrap_or(0)),
    };
    Ok((core, name))
}

impl ArmWay {
    /// The way of a chip that is not known.
    pub(crate) fn unknown(access_port: Option<u8>) -> Self {
        let access_port = FullyQualifiedApAddress::v1_with_default_dp(access_port.unwrap_or(0));
        Self { access_port, sequence: DefaultArmSequence::create(), is_of_module: false, core: None }
    }

    fn of(
        target: &Target,
        core: &Core,
        targetsel: Option<u32>,
        access_port: &ApAddress,
        options: &Options,
    ) -> Self {
        let sequence = match &target.debug_sequence {
            DebugSequence::Arm(sequence) => Arc::clone(sequence),
            _ => DefaultArmSequence::create(),
        };
        let dp = targetsel.map_or(DpAddress::Default, DpAddress::Multidrop);
        let own = match access_port {
            ApAddress::V1(number) => FullyQualifiedApAddress::v1_with_dp(dp, *number),
            ApAddress::V2(base) => FullyQualifiedApAddress::v2_with_dp(dp, ApV2Address::new(*base)),
        };
        let access_port =
            options.access_port.map_or(own, |number| FullyQualifiedApAddress::v1_with_dp(dp, number));
        let core = Some((target.name.clone(), core.core_type));
        Self { access_port, sequence, is_of_module: false, core }
    }

    /// How the chip begins, where it is known which it is.
    pub(crate) fn own_sequence(&self) -> Option<Arc<dyn ArmDebugSequence>> {
        self.core.is_some().then(|| Arc::clone(&self.sequence))
    }

    /// Whether the processor may be a Cortex-M. Others have something else where those have their registers.
    pub(crate) fn may_be_cortex_m(&self) -> bool {
        self.core.as_ref().is_none_or(|(_, core)| core.is_cortex_m())
    }

    /// Whether the processor with this `CPUID` can be the chip's; else, what it is.
    pub(crate) fn check(&self, cpuid: u32) -> Result<(), String> {
        let Some((name, core)) = &self.core else { return Ok(()) };
        match processor(cpuid) {
            Some((found, kind)) if kind != *core => {
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
        let Way::Arm(chip) = chip("STM32F407VGTx").unwrap().way else { panic!("it is one of Arm's") };
        assert_eq!(chip.check(0x410f_c241), Ok(()));
        let wrong = chip.check(0x412f_c231).unwrap_err();
        assert_eq!(wrong, "the processor is a Cortex-M3, and that of STM32F407VGTx is another (Armv7em)");
    }

    /// A chip that is described, with one processor.
    fn described(kind: &str, access: &str) -> Options {
        let description = format!(
            "
name: Mine
variants:
- name: MY-CHIP
  cores:
  - name: main
    type: {kind}
    core_access_options: {access}
  memory_map:
  - !Ram
    range: {{start: 0x20000000, end: 0x20001000}}
    cores: [main]
  flash_algorithms: []
"
        );
        let chip = Some("MY-CHIP".to_owned());
        Options { chip, chip_description: Some(description), ..Options::default() }
    }

    #[test]
    fn a_chip_may_be_described() {
        let chip = Chip::of(&described("armv7m", "!Arm {ap: !v1 3}")).unwrap();
        let Way::Arm(way) = chip.way else { panic!("it is one of Arm's") };
        assert_eq!(way.access_port.ap_v1().ok(), Some(3));
        let broken = Some("name: [".to_owned());
        let options = Options { chip_description: broken, ..described("armv7m", "!Arm {ap: !v1 3}") };
        let error = Chip::of(&options).map(|_| ()).unwrap_err();
        assert!(error.starts_with("the chip description: "), "{error}");
    }

    #[test]
    fn registers_of_a_cortex_m_are_looked_for_where_one_may_be() {
        let may_be = |options: &Options| match Chip::of(options).unwrap().way {
            Way::Arm(way) => way.may_be_cortex_m(),
            _ => panic!("it is one of Arm's"),
        };
        assert!(may_be(&described("armv8m", "!Arm {ap: !v1 0}")) && ArmWay::unknown(None).may_be_cortex_m());
        assert!(!may_be(&described(
            "armv8a",
            "!Arm {ap: !v1 0, debug_base: 0x80010000, cti_base: 0x80020000}"
        )));
    }

    #[test]
    fn chips_that_are_not_known_or_not_read_here_are_said() {
        assert!(chip("nothing").is_err());
        let error = |kind, access| Chip::of(&described(kind, access)).map(|_| ()).unwrap_err();
        assert_eq!(
            error("xtensa", "!Xtensa {}"),
            "its processor is an Xtensa, which has to be halted for each read, and is not read here"
        );
    }

    #[test]
    fn a_processor_is_one_of_the_chips() {
        let options = |core| Options { chip: Some("RP2040".to_owned()), core, ..Options::default() };
        let chip = |core| Chip::of(&options(Some(core)));
        let (first, second) = (chip(0).unwrap(), chip(1).unwrap());
        assert_eq!(first.name.as_deref(), Some("RP2040 (core0, number 0 of 2)"));
        assert_eq!(second.name.as_deref(), Some("RP2040 (core1, number 1 of 2)"));
        let access_port = |chip: &Chip| match &chip.way {
            Way::Arm(way) => way.access_port.clone(),
            _ => panic!("it is one of Arm's"),
        };
        assert_ne!(access_port(&first), access_port(&second));
        let error = chip(2).map(|_| ()).unwrap_err();
        assert_eq!(error, "RP2040 has 2 processors, of which the first is number 0");
        let unnamed = Options { core: Some(0), ..Options::default() };
        assert!(Chip::of(&unnamed).is_err());
    }

    #[test]
    fn a_debug_module_may_be_behind_an_access_port() {
        let Way::Arm(way) = chip("RP235x_riscv").unwrap().way else { panic!("it is behind one of Arm's") };
        assert!(way.is_of_module && !way.may_be_cortex_m());
        let base = ApV2Address::new(0xa000);
        assert_eq!(way.access_port, FullyQualifiedApAddress::v2_with_dp(DpAddress::Default, base));
    }

    #[test]
    fn a_chip_of_risc_v_is_reached_by_its_hart() {
        let Way::Riscv(way) = chip("GD32VF103CBT6").unwrap().way else { panic!("it is RISC-V") };
        assert_eq!((way.hart, way.tap), (None, 0));
    }
}
