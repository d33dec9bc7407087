//! What is done when QEMU translates a block: it is cut into pieces, which get entries in the file, and are counted there when
//! they are executed.
//!
//! What always holds: a piece that has begun is executed to its end, but for its last instruction, which may fault; the same
//! code at the same address has one entry, however often it is translated; other bytes at the same address have another one,
//! which says so; code that found no room is executed uncounted, and counted as that.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use covtap_insn::Isa;

use crate::api::{Api, Block, Info, Insn};
use crate::arguments::Arguments;
use crate::branch;
use crate::callbacks::{self, Branch, Follower, Outcome};
use crate::exits;
use crate::graft::{self, Graft};
use crate::interrupted::Read;
use crate::layout::{self, CHUNK_ENTRIES, Kind, Mode, WORD, word};
use crate::memory::{Counter, Entry, Memory};
use crate::privilege::{self, Privilege};
use crate::registers::{self, Registers};

/// The plugin in one QEMU.
pub(crate) struct Plugin {
    pub(crate) api: Api,
    mode: Mode,
    /// Whose code is counted; none: all.
    only: Option<Privilege>,
    /// Where it is counted which way branches go.
    follower: Option<Follower>,
    state: Mutex<State>,
}

struct State {
    memory: Memory,
    ids: HashMap<Entry, usize>,
    /// Where something was executed: address, length and kind.
    places: HashSet<(u64, u32, Kind)>,
    vcpus: Vec<u32>,
    /// One for each chunk; `None` where calls count.
    grafts: Option<Vec<Option<Graft>>>,
    /// What was given to calls, by entry.
    counters: HashMap<usize, &'static Counter>,
    /// Conditional branches, by the entry of the piece that they end.
    branches: HashMap<usize, &'static Branch>,
    isa: Option<Isa>,
    /// Whether an instruction of two bytes was seen.
    has_short: bool,
}

/// An instruction of a block.
struct Translated<'a> {
    insn: Insn<'a>,
    vaddr: u64,
    bytes: Vec<u8>,
}

impl Plugin {
    pub(crate) fn new(arguments: &Arguments, info: &Info) -> Result<Self, String> {
        let api = Api::find(info.version)?;
        if info.max_vcpus == 0 {
            return Err("it counts what systems execute: programs alone are not emulated with it".to_owned());
        }
        let mode = arguments.mode;
        let memory = Memory::create(arguments.file.as_ref(), mode, &info.target_name, info.max_vcpus)?;
        let is_inline = arguments.is_inline && info.max_vcpus <= graft::MAX_VCPUS;
        let unseen = memory.unseen_outcomes();
        let follower = (mode == Mode::Edges).then(|| Follower::new(&api, info.max_vcpus, is_inline, unseen));
        registers::prepare(info.max_vcpus);
        let state = State {
            memory,
            ids: HashMap::new(),
            places: HashSet::new(),
            vcpus: Vec::new(),
            grafts: is_inline.then(Vec::new),
            counters: HashMap::new(),
            branches: HashMap::new(),
            isa: branch::isa_of(&info.target_name),
            has_short: false,
        };
        state.say_how();
        Ok(Self { api, mode, only: arguments.only, follower, state: Mutex::new(state) })
    }

    /// A vCPU is there, and has executed nothing.
    pub(crate) fn vcpu(&self, vcpu: u32) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.only.is_some() || self.follower.is_some() {
            registers::learn(vcpu);
        }
        if let Some(follower) = &self.follower {
            follower.vcpu(&self.api);
        }
        if let Err(error) = state.vcpu(&self.api, vcpu) {
            crate::say(&format!("count vCPU {vcpu}: {error}; what it executes is missing"));
            state.flag(layout::FLAG_UNCOUNTED_VCPU);
        }
    }

    /// A block is translated.
    pub(crate) fn translated(&self, block: &Block<'_>) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let insns: Vec<_> = block.insns().map(Translated::read).collect();
        let is_thumb = state.learn(&insns);
        let is_wanted = self.only.is_none_or(|only| state.is_of(only, is_thumb));
        let Some(last) = insns.last() else { return };
        // First what came before is counted: it has ended when this block begins.
        if let (Some(follower), Some(first)) = (&self.follower, insns.first()) {
            follower.follow(block, first.vaddr);
        }
        if !is_wanted {
            return;
        }
        let target = self.follower.as_ref().and_then(|follower| Some((follower, state.target(last)?)));
        let (kind, isas) = match self.mode {
            Mode::Insns => (Kind::Instruction, Vec::new()),
            Mode::Blocks | Mode::Edges => (Kind::Block, state.isas(is_thumb)),
        };
        let goes_on = |insn: &Translated<'_>| {
            !isas.is_empty() && isas.iter().all(|isa| exits::goes_on(*isa, &insn.bytes))
        };
        for piece in insns.chunk_by(|insn, _| goes_on(insn)) {
            let Some(first) = piece.first() else { continue };
            let Some(id) = state.entry(&self.api, &entry(piece, kind)) else { continue };
            let is_last = piece.last().is_some_and(|insn| insn.vaddr == last.vaddr);
            let branch = target
                .filter(|_| is_last)
                .and_then(|(follower, target)| Some((follower, state.branch(&self.api, piece, id, target)?)));
            match branch {
                Some((follower, branch)) => follower.keep(&last.insn, branch),
                None => state.count(&first.insn, id),
            }
        }
    }

    /// QEMU ends in order.
    pub(crate) fn end(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.memory.set(word::STATE, layout::STATE_ENDED);
    }
}

impl State {
    /// Tells the file how is counted.
    fn say_how(&self) {
        let how = if self.grafts.is_some() { layout::COUNTING_INLINE } else { layout::COUNTING_CALLBACKS };
        self.memory.set(word::COUNTING, how);
    }

    fn flag(&self, flag: u64) {
        self.memory.set(word::FLAGS, self.memory.get(word::FLAGS) | flag);
    }

    /// Whether the vCPU that translates does so with this privilege. What is not known is not, and is said to be missing.
    fn is_of(&self, only: Privilege, is_thumb: bool) -> bool {
        let vcpu = registers::of_any();
        // A processor of 64 bits that executes code of 32 does not tell.
        let is_told = |vcpu: &&Registers| !is_thumb || vcpu.register("x30").is_none();
        let privilege = vcpu.filter(is_told).and_then(privilege::of);
        if privilege.is_none() {
            self.flag(layout::FLAG_UNKNOWN_PRIVILEGE);
        }
        privilege == Some(only)
    }

    /// Gives a vCPU that has executed nothing its rows.
    fn vcpu(&mut self, api: &Api, vcpu: u32) -> Result<(), String> {
        if vcpu as usize >= self.memory.num_vcpus() {
            return Err(format!("QEMU said that there are {} at most", self.memory.num_vcpus()));
        }
        for (chunk, graft) in self.grafts.iter().flatten().enumerate() {
            if let Some(graft) = graft {
                graft.vcpu(api, &self.memory, chunk, vcpu)?;
            }
        }
        self.vcpus.push(vcpu);
        Ok(())
    }

    /// The number of some code's entry, which is made if it is new; none where there is no room.
    fn entry(&mut self, api: &Api, entry: &Entry) -> Option<usize> {
        if let Some(id) = self.ids.get(entry) {
            return Some(*id);
        }
        if self.memory.is_full() && self.memory.get(word::NOT_RECORDED) == 0 {
            match self.memory.grow() {
                Ok(()) => self.graft(api),
                Err(error) => crate::say(&format!("{error}; more code is executed uncounted")),
            }
        }
        let is_known = self.places.contains(&(entry.vaddr, entry.len_bytes, entry.kind));
        let flags = if is_known { layout::FLAG_OTHER_BYTES } else { 0 };
        let Some(id) = self.memory.push(entry, flags) else {
            self.memory.set(word::NOT_RECORDED, self.memory.get(word::NOT_RECORDED).saturating_add(1));
            return None;
        };
        self.places.insert((entry.vaddr, entry.len_bytes, entry.kind));
        self.ids.insert(*entry, id);
        Some(id)
    }

    /// Has QEMU's own code count the newest chunk, if it can.
    fn graft(&mut self, api: &Api) {
        let Some(grafts) = &mut self.grafts else { return };
        let Some(chunk) = self.memory.num_chunks().checked_sub(1) else { return };
        match Graft::new(api, &self.memory, chunk, &self.vcpus) {
            Ok(graft) => grafts.push(Some(graft)),
            // What was grafted already goes on to be counted so.
            Err(error) if chunk > 0 => {
                crate::say(&format!("{error}; calls count what is new"));
                grafts.push(None);
            }
            Err(error) => {
                crate::say(&format!("{error}; calls count instead"));
                self.grafts = None;
                self.say_how();
            }
        }
    }

    /// Where QEMU's own code counts an entry, if it does.
    fn graft_of(&self, id: usize) -> Option<Graft> {
        *self.grafts.as_ref()?.get(id / CHUNK_ENTRIES)?
    }

    /// The counters of an entry, for calls.
    fn counter(&self, api: &Api, id: usize) -> Option<Counter> {
        self.graft_of(id).map_or_else(|| self.memory.counter(id), |graft| graft.counter(api, id))
    }

    /// Has the executions of an instruction counted.
    fn count(&mut self, insn: &Insn<'_>, id: usize) {
        if let Some(graft) = self.graft_of(id) {
            let offset = (id % CHUNK_ENTRIES).saturating_mul(WORD).saturating_add(graft.offset);
            insn.add(graft.scoreboard, offset);
        } else if let Some(counter) = self.memory.counter(id) {
            let given = self.counters.entry(id).or_insert_with(|| Box::leak(Box::new(counter)));
            callbacks::count(insn, given);
        }
    }

    /// What instructions tell of the instruction set: whether these are Thumb's for sure.
    fn learn(&mut self, insns: &[Translated<'_>]) -> bool {
        let is_arm = matches!(self.isa, Some(Isa::A32 | Isa::Thumb | Isa::A64));
        let is_thumb = is_arm && insns.iter().any(|insn| insn.bytes.len() == 2);
        self.has_short |= is_thumb;
        if is_thumb && self.isa == Some(Isa::A32) {
            self.isa = Some(Isa::Thumb);
        }
        is_thumb
    }

    /// The instruction sets that a block may be of; none if it may be of any. QEMU does not tell Arm's apart.
    fn isas(&self, is_thumb: bool) -> Vec<Isa> {
        match self.isa {
            _ if is_thumb => vec![Isa::Thumb],
            Some(Isa::A32 | Isa::Thumb) => vec![Isa::A32, Isa::Thumb],
            // The processor, or its programs, may be of 32 bits.
            Some(Isa::A64) if self.has_short => Vec::new(),
            other => other.into_iter().collect(),
        }
    }

    /// Where an instruction leads to when it is taken, if it is a conditional branch.
    fn target(&self, insn: &Translated<'_>) -> Option<u64> {
        branch::target(self.isa?, insn.vaddr, &insn.bytes)
    }

    /// The conditional branch at the end of a piece, whose own entry is `id`.
    fn branch(
        &mut self,
        api: &Api,
        piece: &[Translated<'_>],
        id: usize,
        target: u64,
    ) -> Option<&'static Branch> {
        if let Some(branch) = self.branches.get(&id) {
            return Some(branch);
        }
        let last = piece.last()?;
        let [taken, fell_through] =
            [Kind::BranchTaken, Kind::BranchFellThrough].map(|kind| self.entry(api, &entry(piece, kind)));
        let outcome = |address, id| Some(Outcome { address, counter: self.counter(api, id)? });
        let next = last.vaddr.wrapping_add(last.bytes.len() as u64);
        let outcomes = [outcome(next, fell_through?)?, outcome(target, taken?)?];
        let branch = Box::leak(Box::new(Branch { outcomes, unseen: self.counter(api, id)? }));
        self.branches.insert(id, branch);
        Some(branch)
    }
}

impl<'a> Translated<'a> {
    fn read(insn: Insn<'a>) -> Self {
        let mut bytes = Vec::new();
        insn.read(&mut bytes);
        Self { vaddr: insn.vaddr(), bytes, insn }
    }
}

/// The entry of instructions that follow one another.
fn entry(insns: &[Translated<'_>], kind: Kind) -> Entry {
    let len_bytes = insns.iter().map(|insn| insn.bytes.len()).sum::<usize>().try_into().unwrap_or(u32::MAX);
    let vaddr = insns.first().map_or(0, |insn| insn.vaddr);
    let last_bytes = insns.last().map_or(0, |insn| insn.bytes.len()).try_into().unwrap_or(u32::MAX);
    Entry { vaddr, len_bytes, last_bytes, kind, hash: hash(insns.iter().flat_map(|insn| &insn.bytes)) }
}

/// FNV-1a of 64 bits.
fn hash<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.fold(0xcbf2_9ce4_8422_2325, step)
}
