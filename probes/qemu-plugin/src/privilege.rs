//! With which privilege a vCPU executes, by its registers.
//!
//! What always holds: QEMU translates code for one privilege, and again for another, so that what is true when a block is
//! translated is so whenever it is executed.

use crate::interrupted::Read;

/// What code may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Privilege {
    /// What programs may: EL0, U mode, ring 3, threads of Cortex-M without privilege.
    User,
    /// More.
    Privileged,
}

/// What the vCPU may do now; none if its registers do not tell.
pub(crate) fn of(vcpu: &impl Read) -> Option<Privilege> {
    let register = |name| vcpu.register(name);
    let is_user = if let Some(privilege) = register("priv") {
        privilege & 3 == 0
    } else if let Some(xpsr) = register("xpsr") {
        xpsr & 0x1ff == 0 && register("control")? & 1 != 0
    } else if let Some(cpsr) = register("cpsr") {
        // A64 has the exception level in bits 2 and 3, below a zero; A32's mode of programs is 16.
        cpsr & 0x1c == 0 || cpsr & 0x1f == 0x10
    } else {
        let (is_protected, is_virtual) = (register("cr0")? & 1 != 0, register("eflags")? >> 17 & 1 != 0);
        is_protected && (is_virtual || register("cs")? & 3 == 3)
    };
    Some(if is_user { Privilege::User } else { Privilege::Privileged })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vcpu(&'static [(&'static str, u64)]);

    impl Read for Vcpu {
        fn register(&self, name: &str) -> Option<u64> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        }

        fn words(&self, _: u64) -> Option<[u32; 8]> {
            None
        }
    }

    #[test]
    fn registers_tell_it() {
        let user: [&[(&str, u64)]; 6] = [
            &[("priv", 0)],
            &[("x30", 0), ("cpsr", 0x6000_0000)],
            &[("cpsr", 0x6000_0010)],
            &[("xpsr", 0x0100_0000), ("control", 3)],
            &[("cr0", 1), ("eflags", 2), ("cs", 0x1b)],
            &[("cr0", 1), ("eflags", 0x2_0002), ("cs", 0x1000)],
        ];
        for registers in user {
            assert_eq!(of(&Vcpu(registers)), Some(Privilege::User), "{registers:x?}");
        }
        let privileged: [&[(&str, u64)]; 7] = [
            &[("priv", 3)],
            &[("x30", 0), ("cpsr", 0x3c5)],
            &[("cpsr", 0x1d3)],
            &[("xpsr", 0x0100_0000), ("control", 2)],
            &[("xpsr", 0x0100_000b), ("control", 1)],
            &[("cr0", 1), ("eflags", 2), ("cs", 8)],
            &[("cr0", 0), ("eflags", 2), ("cs", 3)],
        ];
        for registers in privileged {
            assert_eq!(of(&Vcpu(registers)), Some(Privilege::Privileged), "{registers:x?}");
        }
        assert_eq!(of(&Vcpu(&[])), None);
    }
}
