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

/// A conditional branch with what goes before it.
#[derive(Debug)]
pub(crate) struct Branch {
    /// Where it may lead: to the next instruction, to its target.
    pub(crate) outcomes: [Outcome; 2],
    /// What counts executions of which it is not known where they led.
    pub(crate) unseen: Counter,
}

/// Where a branch may lead, and what counts how often it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) address: u64,
    pub(crate) counter: Counter,
}

impl Branch {
    /// What counts how often it led to an address, if it may. The outcome is chosen by calculation: the host's processor
    /// would guess a branch that goes as the guest's does, and guess it wrong again.
    fn leads_to(&self, address: u64) -> Option<&Counter> {
        let [next, target] = &self.outcomes;
        let outcome = std::hint::select_unpredictable(address == next.address, next, target);
        (address == outcome.address).then_some(&outcome.counter)
    }
}

/// The conditional branch that a vCPU has executed last, until the next block begins. Apart, so that vCPUs do not share a
/// line of the cache.
#[repr(align(64))]
#[derive(Default)]
struct Last(AtomicPtr<Branch>);

/// Where the vCPUs have their last branches, one behind the other; null before there is a vCPU.
static LAST: AtomicPtr<Last> = AtomicPtr::new(ptr::null_mut());

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
        let is_inline = is_inline && api.has_conditions();
        if !is_inline {
            let all: Box<[Last]> = (0..num_vcpus).map(|_| Last::default()).collect();
            LAST.store(Box::leak(all).as_mut_ptr(), Ordering::Release);
        }
        Self { scoreboard: is_inline.then(|| api.scoreboard(size_of::<Last>())) }
    }

    /// A vCPU is there, and has executed nothing.
    pub(crate) fn vcpu(&self, api: &Api) {
        if let Some(scoreboard) = self.scoreboard {
            LAST.store(ptr::with_exposed_provenance_mut(api.element(scoreboard, 0)), Ordering::Release);
        }
    }

    /// A block is translated that begins at `vaddr`.
    pub(crate) fn follow(&self, block: &Block<'_>, vaddr: u64) {
        // Hosts that QEMU counts on have addresses as long as any guest's.
        let given = ptr::without_provenance_mut(usize::try_from(vaddr).unwrap_or(usize::MAX));
        match self.scoreboard {
            Some(scoreboard) => block.call_unless_zero(scoreboard, begun, given),
            None => block.call_with_registers(begun, given),
        }
    }

    /// A block is translated that ends with a branch.
    pub(crate) fn keep(&self, insn: &Insn<'_>, branch: &'static Branch) {
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

fn last(vcpu: c_uint) -> &'static AtomicPtr<Branch> {
    // SAFETY: a vCPU that executes is there, and one of those that there may be; each has its own, which is never freed and
    // does not move. QEMU's elements are one behind the other, on words.
    unsafe { &(*LAST.load(Ordering::Relaxed).add(vcpu as usize)).0 }
}

/// A branch is executed.
extern "C" fn branched(vcpu: c_uint, given: *mut c_void) {
    last(vcpu).store(given.cast(), Ordering::Relaxed);
}

/// A block begins, at the address that was given.
extern "C" fn begun(vcpu: c_uint, given: *mut c_void) {
    let last = last(vcpu);
    // SAFETY: only branches that live as long as the process are kept; a pointer that QEMU's code has stored was exposed.
    let Some(branch) = (unsafe { last.load(Ordering::Relaxed).as_ref() }) else { return };
    last.store(ptr::null_mut(), Ordering::Relaxed);
    match branch.leads_to(given.addr() as u64) {
        Some(counter) => counter.add(vcpu),
        None => interrupted_behind(branch, vcpu),
    }
}

/// Neither outcome of a branch is what comes next: there was an interrupt, after which it goes on at one of them. Apart, so
/// that what is done at each branch is little.
#[cold]
#[inline(never)]
extern "C" fn interrupted_behind(branch: &Branch, vcpu: c_uint) {
    let places = registers::of(vcpu).map(interrupted::places).unwrap_or_default();
    let counter = places.into_iter().find_map(|place| branch.leads_to(place));
    if let (None, Some(Some(unseen))) = (counter, UNSEEN.get()) {
        unseen.fetch_add(1, Ordering::Relaxed);
    }
    counter.unwrap_or(&branch.unseen).add(vcpu);
}
