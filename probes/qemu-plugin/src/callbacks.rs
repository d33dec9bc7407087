//! What QEMU calls when code is executed, where its own code cannot count.
//!
//! What always holds: what a callback is given was made here, lives as long as the process, and is never changed.
#![allow(unsafe_code, reason = "QEMU gives back pointers")]

use std::ffi::{c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::api::{Api, Block, Insn, Scoreboard};
use crate::interrupted;
use crate::memory::Counter;
use crate::registers;

/// A conditional branch.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) next: u64,
    pub(crate) target: u64,
    pub(crate) taken: Counter,
    pub(crate) fell_through: Counter,
}

/// The conditional branch that a vCPU has executed last, until the next block begins. Apart, so that vCPUs do not share a
/// line of the cache.
#[repr(align(64))]
#[derive(Default)]
struct Last(AtomicPtr<Branch>);

/// Where each vCPU has its last branch; null before it is there.
static LAST: OnceLock<Box<[AtomicPtr<AtomicPtr<Branch>>]>> = OnceLock::new();

/// How often it is not known which way a branch went.
static UNSEEN: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();

/// Follows which way branches go: a branch is kept when it is executed, and looked at when the next block begins.
pub(crate) struct Follower {
    /// Where QEMU's own code keeps branches, and only calls if there is one; none where it cannot, or moves its memory.
    scoreboard: Option<Scoreboard>,
}

impl Follower {
    /// Before any code is executed.
    pub(crate) fn new(
        api: &Api,
        num_vcpus: usize,
        is_inline: bool,
        unseen: Option<&'static AtomicU64>,
    ) -> Self {
        UNSEEN.get_or_init(|| unseen);
        LAST.get_or_init(|| (0..num_vcpus).map(|_| AtomicPtr::default()).collect());
        let is_inline = is_inline && api.has_conditions();
        Self { scoreboard: is_inline.then(|| api.scoreboard(size_of::<Last>())) }
    }

    /// A vCPU is there, and has executed nothing.
    pub(crate) fn vcpu(&self, api: &Api, vcpu: c_uint) {
        let place = match self.scoreboard {
            Some(scoreboard) => ptr::with_exposed_provenance_mut(api.element(scoreboard, vcpu)),
            None => ptr::from_mut(&mut Box::leak(Box::<Last>::default()).0),
        };
        if let Some(kept) = LAST.get().and_then(|all| all.get(vcpu as usize)) {
            kept.store(place, Ordering::Release);
        }
    }

    /// A block is translated that begins at `vaddr`, and may end with a branch.
    pub(crate) fn follow(&self, block: &Block<'_>, vaddr: u64, end: Option<(&Insn<'_>, &'static Branch)>) {
        // Hosts that QEMU counts on have addresses as long as any guest's.
        let given = ptr::without_provenance_mut(usize::try_from(vaddr).unwrap_or(usize::MAX));
        match self.scoreboard {
            Some(scoreboard) => block.call_unless_zero(scoreboard, begun, given),
            None => block.call_with_registers(begun, given),
        }
        let Some((insn, branch)) = end else { return };
        let branch = ptr::from_ref(branch).cast_mut();
        match self.scoreboard {
            Some(scoreboard) => insn.store(scoreboard, branch.expose_provenance() as u64),
            None => insn.call(branched, branch.cast()),
        }
    }
}

/// Has executions counted.
pub(crate) fn count(insn: &Insn<'_>, counter: &'static Counter) {
    insn.call(counted, ptr::from_ref(counter).cast_mut().cast());
}

extern "C" fn counted(vcpu: c_uint, given: *mut c_void) {
    // SAFETY: `count` gave a counter.
    if let Some(counter) = unsafe { given.cast::<Counter>().as_ref() } {
        counter.add(vcpu);
    }
}

fn last(vcpu: c_uint) -> Option<&'static AtomicPtr<Branch>> {
    let place = LAST.get()?.get(vcpu as usize)?.load(Ordering::Relaxed);
    // SAFETY: what is kept there is never freed, and does not move; QEMU's elements are on words.
    unsafe { place.as_ref() }
}

/// A branch is executed.
extern "C" fn branched(vcpu: c_uint, given: *mut c_void) {
    if let Some(last) = last(vcpu) {
        last.store(given.cast(), Ordering::Relaxed);
    }
}

/// A block begins, at the address that was given.
extern "C" fn begun(vcpu: c_uint, given: *mut c_void) {
    let Some(last) = last(vcpu) else { return };
    // SAFETY: only branches that live as long as the process are kept; a pointer that QEMU's code has stored was exposed.
    let Some(branch) = (unsafe { last.load(Ordering::Relaxed).as_ref() }) else { return };
    last.store(ptr::null_mut(), Ordering::Relaxed);
    let count = |place: u64| {
        let counter = match place {
            next if next == branch.next => branch.fell_through,
            target if target == branch.target => branch.taken,
            _ => return false,
        };
        counter.add(vcpu);
        true
    };
    // Anything else than these two is an interrupt, after which it goes on at one of them.
    let is_seen = count(given.addr() as u64)
        || registers::of(vcpu).map(interrupted::places).unwrap_or_default().into_iter().any(count);
    if let (false, Some(Some(unseen))) = (is_seen, UNSEEN.get()) {
        unseen.fetch_add(1, Ordering::Relaxed);
    }
}
