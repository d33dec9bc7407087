//! What helps where a guest cannot be started.

use crate::cli::run::CommandError;

pub(super) fn for_command(error: &CommandError) -> &'static str {
    match error {
        CommandError::Empty => "covtap run -- qemu-system-... -kernel ELF",
        CommandError::NoElf { .. } => "give --elf, or let QEMU load it with -kernel",
        CommandError::NothingForElf { .. } => {
            "give --elf, or the ELF after a second --, as Cargo does with a runner that ends with --"
        }
        CommandError::Daemon { .. } => {
            "leave it out: covtap stays until the guest ends; a shell's & goes on meanwhile"
        }
        CommandError::Stays { .. } => "leave it out: covtap reads the guest a last time before QEMU ends",
    }
}
