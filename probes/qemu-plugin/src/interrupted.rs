//! Where a vCPU goes on after an interrupt, by what it has saved of that.
//!
//! What enters is the registers and the memory of a vCPU whose handler has just begun; what leaves is where it will go on. What
//! always holds: it is only of use to who knows which addresses it may be, for a vCPU may have been interrupted by other
//! means.

/// What is read of a vCPU.
pub(crate) trait Read {
    /// A register by its name in small letters.
    fn register(&self, name: &str) -> Option<u64>;
    /// The 32-bit words of memory at an address.
    fn words(&self, address: u64) -> Option<[u32; 8]>;
}

/// Where it may go on.
pub(crate) fn places(vcpu: &impl Read) -> Vec<u64> {
    let register = |name| vcpu.register(name);
    if let Some(privilege) = register("priv") {
        return riscv(privilege, vcpu).into_iter().collect();
    }
    if register("x30").is_some() {
        return a64(vcpu).into_iter().collect();
    }
    if let Some(lr) = register("xpsr").and_then(|_| register("lr")) {
        return cortex_m(lr, vcpu).into_iter().collect();
    }
    if let Some(lr) = register("cpsr").and_then(|_| register("lr")) {
        // Of interrupts: the address of the next instruction, and 4.
        return vec![lr.wrapping_sub(4) & u64::from(u32::MAX)];
    }
    x86(vcpu).unwrap_or_default()
}

/// The privilege that has the handler says in which register.
fn riscv(privilege: u64, vcpu: &impl Read) -> Option<u64> {
    match privilege & 3 {
        3 => vcpu.register("mepc"),
        1 => vcpu.register("sepc"),
        _ => None,
    }
}

/// So does the exception level; not in A32, where it has no exception levels.
fn a64(vcpu: &impl Read) -> Option<u64> {
    let pstate = vcpu.register("cpsr")?;
    match (pstate >> 4 & 1, pstate >> 2 & 3) {
        (0, 1) => vcpu.register("elr_el1"),
        (0, 2) => vcpu.register("elr_el2"),
        (0, 3) => vcpu.register("elr_el3"),
        _ => None,
    }
}

/// In the frame on the stack that EXC_RETURN names, behind r0 to r3, r12 and lr.
fn cortex_m(lr: u64, vcpu: &impl Read) -> Option<u64> {
    if lr >> 8 != 0x00ff_ffff {
        return None;
    }
    let stack = if lr & 4 == 0 { "sp" } else { "psp" };
    let frame = vcpu.words(vcpu.register(stack)?)?;
    Some(u64::from(frame[6]))
}

/// On the stack, behind an error code where there is one, with 32 or 64 bits. In real mode, an offset and a segment.
fn x86(vcpu: &impl Read) -> Option<Vec<u64>> {
    let stack = vcpu.register("rsp").or_else(|| vcpu.register("esp"))?;
    if vcpu.register("cr0").is_some_and(|cr0| cr0 & 1 == 0) {
        let [both, ..] = vcpu.words((vcpu.register("ss")? << 4).wrapping_add(stack & 0xffff))?;
        return Some(vec![(u64::from(both >> 16) << 4).wrapping_add(u64::from(both & 0xffff))]);
    }
    let [a, b, c, d, ..] = vcpu.words(stack)?.map(u64::from);
    Some(vec![a | (b << 32), c | (d << 32), a, b])
}

#[cfg(test)]
mod tests {
    use super::*;

    type Named = &'static [(&'static str, u64)];

    /// Registers, and a stack at 0x100.
    struct Vcpu(Named, [u32; 8]);

    impl Read for Vcpu {
        fn register(&self, name: &str) -> Option<u64> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        }

        fn words(&self, address: u64) -> Option<[u32; 8]> {
            (address == 0x100).then_some(self.1)
        }
    }

    #[test]
    fn each_architecture_saves_it_elsewhere() {
        let stack = [1, 2, 3, 4, 5, 6, 7, 8];
        let cases: [(Named, &[u64]); 11] = [
            (&[("priv", 3), ("mepc", 0x10), ("sepc", 0x20)], &[0x10]),
            (&[("priv", 1), ("mepc", 0x10), ("sepc", 0x20)], &[0x20]),
            (&[("x30", 0), ("cpsr", 0x3c5), ("elr_el1", 0x10), ("elr_el2", 0x20)], &[0x10]),
            (&[("x30", 0), ("cpsr", 0x3c9), ("elr_el1", 0x10), ("elr_el2", 0x20)], &[0x20]),
            (&[("x30", 0), ("cpsr", 0x3c0), ("elr_el1", 0x10)], &[]),
            (&[("xpsr", 15), ("lr", 0xffff_fff9), ("sp", 0x100)], &[7]),
            (&[("xpsr", 15), ("lr", 0xffff_fffd), ("sp", 0), ("psp", 0x100)], &[7]),
            (&[("xpsr", 0), ("lr", 0x1235), ("sp", 0x100)], &[]),
            (&[("cpsr", 0x92), ("lr", 0x14)], &[0x10]),
            (&[("cr0", 0x10), ("ss", 0xf), ("esp", 0x10)], &[1]),
            (&[("cr0", 0x11), ("rsp", 0x100)], &[0x2_0000_0001, 0x4_0000_0003, 1, 2]),
        ];
        for (registers, expected) in cases {
            assert_eq!(places(&Vcpu(registers, stack)), expected, "{registers:x?}");
        }
        assert!(places(&Vcpu(&[], stack)).is_empty());
    }
}
