//! Which blocks are reached, by breakpoints that are removed when they are met.
//!
//! What always holds: a breakpoint is set only while the target stands still, and none is left when this ends by itself;
//! a thread that is found at the start of a block is about to execute it, and has reached it. Where there are more
//! blocks than breakpoints, windows of them take turns, those not reached yet: a block that runs while it is not watched
//! is not seen. When all of them have had some turns and none was reached, the target is let alone for most of the time.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use covtap_link::{AddrRange, LinkError, TargetAddr};

use super::{Ended, TraceError, Tracer};

/// QEMU looks through the list of breakpoints for each block that it enters: guests were 1.3 times slower with 16 that
/// are never met, 10.7 times with 256 (measured on 10.0).
const MAX_WINDOW_OF_QEMU: usize = 16;

/// While nothing new is reached, breakpoints are set for one part of the time in so many: also those that are never met
/// cost, and so do the stops to set them.
const REST_PARTS: u32 = 100;

/// Blocks had so many turns each before nothing new is expected: what runs now and then is seldom met in the first.
const TURNS_IN_VAIN: usize = 8;

/// Setting and clearing more than these takes longer than anybody waits.
const MAX_WINDOW: usize = 4096;

/// A server that refused so many, one after the other, has no more.
const MAX_REFUSED: usize = 2;

/// A block that is to be watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watch {
    /// Where it begins.
    pub at: TargetAddr,
    /// Its length.
    pub len_bytes: u64,
    /// The size of its breakpoint, as the `Z0` packet has it.
    pub kind: u8,
}

/// How blocks were watched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Watched {
    /// How many there are.
    pub blocks: usize,
    /// How many of them were reached.
    pub reached: usize,
    /// How many were watched at the same time at most.
    pub window: usize,
    /// How often others took their turn.
    pub turns: u64,
    /// For how long no breakpoint was set, since nothing new was reached.
    pub rested: Duration,
    /// Whether each was watched from the start until it was reached: what was not reached did not run.
    pub is_complete: bool,
}

/// Blocks and their breakpoints.
struct Windows<'w> {
    all: &'w [Watch],
    /// By address, those whose breakpoints are set.
    set: BTreeMap<u64, Watch>,
    /// Those whose turn comes.
    waiting: VecDeque<Watch>,
    /// Those that had a breakpoint at any time, which a thread may have met just before it was removed.
    ever: HashSet<u64>,
    max: usize,
    /// The target is slower for each that is set.
    is_slowed: bool,
    /// How many were watched in vain since one was reached last.
    in_vain: usize,
    first_refusal: Option<LinkError>,
}

/// Where blocks lie; those that follow one another are one stretch.
fn stretches(all: &[Watch]) -> Vec<AddrRange> {
    let mut stretches: Vec<AddrRange> = Vec::new();
    for Watch { at, len_bytes, .. } in all {
        let joined = stretches.last_mut().filter(|last| last.end() == *at).and_then(|last| {
            *last = AddrRange::new(last.start(), last.len_bytes().checked_add(*len_bytes)?)?;
            Some(())
        });
        if joined.is_none() {
            stretches.extend(AddrRange::new(*at, *len_bytes));
        }
    }
    stretches
}

impl Windows<'_> {
    /// Whether all have had their turns since one was reached last.
    fn is_saturated(&self) -> bool {
        self.in_vain >= (self.set.len() + self.waiting.len()).saturating_mul(TURNS_IN_VAIN)
    }
}

impl Tracer<'_> {
    /// Watches blocks until all were reached, or it has to end. `watched` says how, also after an error.
    ///
    /// # Errors
    ///
    /// The server sets no breakpoint, or the target is gone: what was seen before is there.
    pub fn breakpoints(&mut self, all: &[Watch], watched: &mut Watched) -> Result<Ended, TraceError> {
        let info = self.link.info();
        if all.is_empty() {
            return Err(TraceError::NoBlocks { endpoint: info.endpoint });
        }
        // No other server is known to do so: what it writes into memory or a comparator costs nothing until it is met.
        let is_slowed = info.server.starts_with("QEMU");
        let known = if is_slowed { MAX_WINDOW_OF_QEMU } else { MAX_WINDOW };
        let max = self.limits.window.unwrap_or(known);
        let mut windows = Windows {
            all,
            set: BTreeMap::new(),
            waiting: all.iter().copied().collect(),
            ever: HashSet::new(),
            max,
            is_slowed,
            in_vain: 0,
            first_refusal: None,
        };
        watched.blocks = all.len();
        let began = Instant::now();
        self.control()?.stop()?;
        self.note_all(&mut windows)?;
        self.fill(&mut windows)?;
        watched.is_complete = windows.waiting.is_empty();
        let ended = self.watch(&mut windows, watched, began);
        watched.reached = self.seen.num_different();
        ended
    }

    fn watch(
        &mut self,
        windows: &mut Windows<'_>,
        watched: &mut Watched,
        mut stopped: Instant,
    ) -> Result<Ended, TraceError> {
        loop {
            watched.window = watched.window.max(windows.set.len());
            if windows.set.is_empty() && windows.waiting.is_empty() {
                self.renew(windows)?;
                self.leave(Some(stopped))?;
                return Ok(Ended::AllReached);
            }
            let turn = stopped.elapsed();
            let is_saturated = windows.is_saturated();
            self.resume(stopped)?;
            let resumed = Instant::now();
            let until = || if is_saturated { resumed + turn } else { self.when_affordable(turn) };
            let takes_turns = !windows.waiting.is_empty() || (windows.is_slowed && !watched.is_complete);
            let then = takes_turns.then(until);
            let is_stopped = self.wait_for_turn(then)?;
            stopped = Instant::now();
            let ended = self.limit();
            if is_stopped && ended.is_none() {
                self.control()?.stop()?;
                if !self.note_all(windows)? {
                    self.clear_all(windows)?;
                    return Ok(Ended::StoppedByOther);
                }
                self.fill(windows)?;
                continue;
            }
            self.control()?.stop()?;
            self.note_all(windows)?;
            self.clear_all(windows)?;
            if let Some(ended) = ended {
                self.renew(windows)?;
                self.leave(Some(stopped))?;
                return Ok(ended);
            }
            watched.turns += 1;
            if is_saturated {
                self.renew(windows)?;
                let took = turn + resumed.elapsed();
                let rest = took.saturating_mul(REST_PARTS - 1);
                if let Some(ended) = self.rest(rest, &mut stopped, watched)? {
                    return Ok(ended);
                }
                self.note_all(windows)?;
            }
            self.fill(windows)?;
        }
    }

    /// Writes what is there into the code that had breakpoints, while the target stands still: QEMU's guests stay slower
    /// after their breakpoints are gone, to a third of their speed with 10.0, until their code is translated anew.
    fn renew(&mut self, windows: &Windows<'_>) -> Result<(), TraceError> {
        if !windows.is_slowed {
            return Ok(());
        }
        // Where there is no memory now, there are no translations to be rid of.
        self.link.rewrite(stretches(windows.all))?;
        Ok(())
    }

    /// Lets the target alone, without breakpoints. It stands still afterwards, since then, unless it has ended.
    fn rest(
        &mut self,
        rest: Duration,
        stopped: &mut Instant,
        watched: &mut Watched,
    ) -> Result<Option<Ended>, TraceError> {
        self.resume(*stopped)?;
        let resumed = Instant::now();
        let is_stopped = self.wait_for_turn(resumed.checked_add(rest))?;
        watched.rested += resumed.elapsed();
        if let Some(ended) = self.limit() {
            self.leave(None)?;
            return Ok(Some(ended));
        }
        if is_stopped {
            return Ok(Some(Ended::StoppedByOther));
        }
        *stopped = Instant::now();
        self.control()?.stop()?;
        Ok(None)
    }

    /// Waits until the target has stopped, it is others' turn, or it has to end; whether it has stopped.
    fn wait_for_turn(&mut self, then: Option<Instant>) -> Result<bool, TraceError> {
        loop {
            let patience = self.patience(then);
            if self.control()?.wait_for_stop(patience)? {
                return Ok(true);
            }
            if self.limit().is_some() || then.is_some_and(|then| Instant::now() >= then) {
                return Ok(false);
            }
        }
    }

    /// Notes what all threads are about to execute; whether one stands where a breakpoint of ours is or was.
    fn note_all(&mut self, windows: &mut Windows<'_>) -> Result<bool, TraceError> {
        let mut is_ours = false;
        for at in self.all_counters()? {
            is_ours |= windows.ever.contains(&at);
            self.note(windows, at)?;
        }
        Ok(is_ours)
    }

    /// Notes the block that begins there, if one does, and removes its breakpoint.
    fn note(&mut self, windows: &mut Windows<'_>, at: u64) -> Result<(), TraceError> {
        let num_before = self.seen.num_different();
        if let Some(watch) = windows.set.get(&at).copied() {
            self.control()?.clear_breakpoint(watch.at, watch.kind)?;
            windows.set.remove(&at);
            self.seen.reached(at, watch.len_bytes);
        } else if let Some(index) = windows.waiting.iter().position(|watch| watch.at.get() == at)
            && let Some(watch) = windows.waiting.remove(index)
        {
            self.seen.reached(at, watch.len_bytes);
        }
        if self.seen.num_different() > num_before {
            windows.in_vain = 0;
        }
        Ok(())
    }

    /// Sets breakpoints on those whose turn it is.
    fn fill(&mut self, windows: &mut Windows<'_>) -> Result<(), TraceError> {
        let mut refused = 0;
        while windows.set.len() < windows.max {
            let Some(watch) = windows.waiting.pop_front() else { break };
            match self.control()?.set_breakpoint(watch.at, watch.kind) {
                Ok(()) => {
                    refused = 0;
                    windows.ever.insert(watch.at.get());
                    windows.set.insert(watch.at.get(), watch);
                }
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    windows.first_refusal.get_or_insert(error);
                    windows.waiting.push_back(watch);
                    refused += 1;
                    // One alone may be where there is no memory yet.
                    if refused >= if windows.set.is_empty() { windows.all.len() } else { MAX_REFUSED } {
                        break;
                    }
                }
            }
        }
        match windows.first_refusal.take() {
            Some(error) if windows.ever.is_empty() => Err(TraceError::NoBreakpoints(error)),
            kept => {
                windows.first_refusal = kept;
                Ok(())
            }
        }
    }

    /// Removes all breakpoints; what they were on waits for its next turn.
    fn clear_all(&mut self, windows: &mut Windows<'_>) -> Result<(), TraceError> {
        while let Some((_, watch)) = windows.set.pop_first() {
            self.control()?.clear_breakpoint(watch.at, watch.kind)?;
            windows.waiting.push_back(watch);
            windows.in_vain += 1;
        }
        Ok(())
    }

    /// Whether the server sets a breakpoint on a block; it is removed at once.
    ///
    /// # Errors
    ///
    /// The link failed.
    pub fn takes_breakpoints(&mut self, watch: Watch) -> Result<bool, TraceError> {
        let began = Instant::now();
        self.control()?.stop()?;
        let set = self.control()?.set_breakpoint(watch.at, watch.kind);
        let takes = match set {
            Ok(()) => self.control()?.clear_breakpoint(watch.at, watch.kind).map(|()| true),
            Err(error) if error.is_fatal() => Err(error),
            Err(_) => Ok(false),
        };
        let takes = takes?;
        if self.ran {
            self.resume(began)?;
        }
        Ok(takes)
    }
}
