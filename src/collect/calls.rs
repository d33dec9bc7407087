//! Functions at whose entry the target stops: one whose calls [name tests](super::label_on), and one that it calls before
//! it resets itself.
//!
//! What enters is functions by name, and what stops the target; what leaves is, at each call, what it is one of. What
//! always holds: the target stands still from the call until the snapshot for it is taken, and runs on then; all of that
//! is in the [pause](Reader::pause), from the last look that found it running; a stop that is nobody's call is left alone.
//!
//! A function that resets the target may return instead, and counters may have come as far again before anybody looks. So
//! the call itself is no reset: from then on a breakpoint is where the program begins, and a target that stops there has
//! been reset. Memory has the counts of the run before still, where it outlives the reset and nothing is loaded anew. Until
//! counters were seen to begin at zero, the target stops at `main` as well, where start-up code has just cleared them.
//!
//! Breakpoints in memory are gone where a reset has the code loaded again. So after each reset that is noticed all of them are
//! set anew, once the new run has begun; a call before that is not met.

use std::collections::BTreeMap;
use std::time::Instant;

use covtap_link::{LinkError, RunControl, RunState, TargetAddr};

use super::function::{Breakpoint, Function, ResetOn, read_any};
use super::label_on::{Called, LabelOn};
use super::reader::{Reader, room};
use super::{CollectError, MeteredLink, Notice};

/// Where a target is to come next that is about to reset itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Awaited {
    /// Nobody knows.
    #[default]
    Nowhere,
    /// To the program's first instruction.
    Start,
    /// To its `main`.
    Main,
}

/// The functions whose calls are met.
#[derive(Default)]
pub(super) struct Calls {
    label: Option<LabelOn>,
    reset: Option<ResetOn>,
    /// Where there is a breakpoint beside those of the functions.
    awaited: Awaited,
    /// The program has begun anew, and met no call yet.
    has_started: bool,
    /// It stands at the first call after that.
    is_past_start: bool,
    /// The last look that found the target running began then.
    looked: Option<Instant>,
    /// The target may stand at a call, and ran until then at least.
    stopped: Option<Instant>,
    /// The target was reset, and breakpoints may be gone since.
    is_rearm_due: bool,
}

/// What a target that stands still is about to execute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Met {
    /// The function whose calls name tests.
    pub(super) names_test: bool,
    /// The function that resets it.
    pub(super) resets: bool,
    /// Where it was to come after such a call.
    pub(super) is_awaited: bool,
}

impl Calls {
    /// A function that is looked for; any will do to reach the target's powers.
    fn first(&self) -> Option<&Function> {
        let label = self.label.as_ref().map(|label| &label.function);
        label.or(self.reset.as_ref().map(|reset| &reset.function))
    }

    /// The breakpoint beside those of the functions, while there is one.
    fn awaited(&self) -> Option<Breakpoint> {
        let reset = self.reset.as_ref()?;
        match self.awaited {
            Awaited::Nowhere => None,
            Awaited::Start => reset.start,
            Awaited::Main => reset.main,
        }
    }

    /// All breakpoints, each once: two at one address are one to a server.
    fn breakpoints(&self) -> BTreeMap<TargetAddr, u8> {
        let label = self.label.as_ref().map(|label| label.function.entry);
        let reset = self.reset.as_ref().map(|reset| reset.function.entry);
        label.into_iter().chain(reset).chain(self.awaited()).map(|it| (it.at, it.kind)).collect()
    }

    /// Sets the breakpoints, and makes sure that what is needed at a call can be read. Whether the target runs, or stands
    /// at a call.
    fn arm(&mut self, link: &mut MeteredLink) -> Result<bool, CollectError> {
        self.stopped = None;
        let Some(first) = self.first() else { return Ok(true) };
        let started = Instant::now();
        let control = first.control(link)?;
        let ran = control.state() == RunState::Running;
        control.stop()?;
        for (at, kind) in self.breakpoints() {
            control.set_breakpoint(at, kind)?;
        }
        if let Some(label) = &self.label {
            label.register(control)?;
        }
        self.go_on_unless_there(link, ran, started)
    }

    /// Sets the breakpoints anew. Each is cleared first, since servers keep two of one place, or refuse the second. What the
    /// server said of those that it no longer sets.
    fn rearm(&mut self, link: &mut MeteredLink) -> Result<Vec<(TargetAddr, LinkError)>, CollectError> {
        let Some(first) = self.first() else { return Ok(Vec::new()) };
        let started = Instant::now();
        let control = first.control(link)?;
        let ran = control.state() == RunState::Running;
        control.stop()?;
        let mut unset = Vec::new();
        for (at, kind) in self.breakpoints() {
            match control.clear_breakpoint(at, kind) {
                Err(error) if error.is_fatal() => return Err(error.into()),
                // One that the server has lost as well cannot be cleared.
                _ => {}
            }
            match control.set_breakpoint(at, kind) {
                Err(error) if !error.is_fatal() => unset.push((at, error)),
                set => set?,
            }
        }
        self.go_on_unless_there(link, ran, started).map(|_| unset)
    }

    /// Lets a target run on that was stopped then, if it ran, unless it stands at a call. Whether it runs, or does.
    fn go_on_unless_there(
        &mut self,
        link: &mut MeteredLink,
        ran: bool,
        started: Instant,
    ) -> Result<bool, CollectError> {
        let Some(first) = self.first() else { return Ok(true) };
        let control = first.control(link)?;
        let met = self.met(control);
        let is_there = matches!(met, Ok(Some(_)));
        if ran && !is_there {
            control.resume()?;
            link.add_pause(started.elapsed());
        }
        self.looked = Some(Instant::now());
        if is_there {
            self.stopped.get_or_insert(started);
        }
        met?;
        Ok(ran || is_there)
    }

    /// What of all this a target is about to execute that stands still.
    fn met(&self, control: &mut dyn RunControl) -> Result<Option<Met>, LinkError> {
        let Some(first) = self.first() else { return Ok(None) };
        let next = read_any(control, first.abi.counters)?;
        let met = Met {
            names_test: self.label.as_ref().is_some_and(|label| label.function.entry.at.get() == next),
            resets: self.reset.as_ref().is_some_and(|reset| reset.function.entry.at.get() == next),
            is_awaited: self.awaited().is_some_and(|it| it.at.get() == next),
        };
        Ok((met.names_test || met.resets || met.is_awaited).then_some(met))
    }

    /// The target said that it was stopped.
    pub(super) fn note_stop(&mut self) {
        let since = self.looked.unwrap_or_else(Instant::now);
        self.stopped.get_or_insert(since);
    }

    /// A look that began then has come to its end.
    pub(super) fn note_look(&mut self, began: Instant) {
        if self.stopped.is_none() {
            self.looked = Some(began);
        }
    }

    /// Whether the target stands at the first call after it was reset: its start-up code is behind it.
    pub(super) fn is_past_start(&self) -> bool {
        self.is_past_start
    }

    /// The function that is called before a reset, or the one that names tests.
    pub(super) fn symbol(&self, is_before_reset: bool) -> &str {
        let label = self.label.as_ref().map(LabelOn::symbol);
        let reset = self.reset.as_ref().map(ResetOn::symbol);
        if is_before_reset { reset.or(label) } else { label.or(reset) }.unwrap_or_default()
    }

    /// The same functions of the target over another link.
    pub(super) fn again(&mut self, link: &mut MeteredLink) -> Result<(), CollectError> {
        self.is_rearm_due = false;
        self.arm(link).map(|_| ())
    }

    /// The target was reset, and may have loaded its code again: breakpoints in memory are gone then.
    pub(super) fn note_reset(&mut self) {
        self.is_rearm_due = true;
    }

    /// The function that has a breakpoint there, or that a breakpoint there is set for.
    fn symbol_at(&self, at: TargetAddr) -> String {
        self.symbol(self.label.as_ref().is_none_or(|label| label.entry() != at)).to_owned()
    }
}

impl Reader {
    /// Lets tests begin at calls of one function, and snapshots be taken at those of another, or the same. Whether calls
    /// will be met: nothing is told of a target that is halted, and that somebody else lets run.
    ///
    /// # Errors
    ///
    /// The link has no breakpoints, or failed.
    pub fn stop_at_calls(
        &mut self,
        label: Option<LabelOn>,
        reset: Option<ResetOn>,
    ) -> Result<bool, CollectError> {
        self.calls = Calls { label, reset, ..Calls::default() };
        self.calls.arm(&mut self.link)
    }

    /// What the target stands at. Any other stop is forgotten.
    pub(super) fn stands_at_call(&mut self) -> Result<Option<Met>, CollectError> {
        let Some(first) = self.calls.first().filter(|_| self.calls.stopped.is_some()) else {
            return Ok(None);
        };
        let control = first.control(&mut self.link)?;
        let is_stopped = control.state() == RunState::Stopped;
        let met = if is_stopped { self.calls.met(control)? } else { None };
        if met.is_none() {
            self.calls.stopped = None;
        }
        self.calls.is_past_start =
            self.calls.has_started && met.is_some_and(|met| met.names_test || met.resets);
        Ok(met)
    }

    /// What the call says that the target stands at.
    pub(super) fn called(&mut self) -> Result<Called, CollectError> {
        let nothing = || Ok(Called { name: None, fault: None });
        self.calls.label.as_ref().map_or_else(nothing, |label| label.called(&mut self.link))
    }

    /// The target is about to reset itself, and stands still: it is to stop where the program begins. Why it will not, if
    /// it has no breakpoint left, say.
    pub(super) fn await_start(&mut self) -> Result<Option<String>, CollectError> {
        match self.await_at(Awaited::Start) {
            Err(CollectError::Link(error)) if !error.is_fatal() => {
                Ok(Some(format!("the reset after it only shows where counters fall ({error})")))
            }
            set => set.map(|()| None),
        }
    }

    /// The target stands where it was to come after a call before a reset.
    pub(super) fn note_awaited(&mut self) -> Result<(), CollectError> {
        if self.calls.awaited == Awaited::Start {
            return self.note_start();
        }
        self.await_at(Awaited::Nowhere)?;
        if self.is_reset_told && self.restart.is_none() { self.look_for_fall() } else { Ok(()) }
    }

    /// The target stands where the program begins: it was reset, and nothing counts until it runs on.
    fn note_start(&mut self) -> Result<(), CollectError> {
        let next = if self.begins_at_zero { Awaited::Nowhere } else { Awaited::Main };
        match self.await_at(next) {
            // Without it a fall shows to whoever looks in time.
            Err(CollectError::Link(error)) if !error.is_fatal() => {}
            set => set?,
        }
        self.calls.has_started = true;
        let mut now = room(self.places.regions())?;
        self.is_exact = match self.places.read(&mut self.link, &mut now) {
            Ok(_) => now == *self.previous,
            // Memory may not be there yet, nor the word that says where counters are.
            Err(CollectError::Misplaced { .. } | CollectError::NeverAtRest { .. }) => false,
            Err(CollectError::Link(error)) if !error.is_fatal() => false,
            Err(error) => return Err(error),
        };
        self.is_reset_told = true;
        Ok(())
    }

    /// Has the breakpoint beside those of the functions there, and nowhere else; it is not needed where they have one.
    fn await_at(&mut self, next: Awaited) -> Result<(), CollectError> {
        let last = self.calls.awaited();
        self.calls.awaited = Awaited::Nowhere;
        let others = self.calls.breakpoints();
        self.calls.awaited = next;
        let next = self.calls.awaited();
        let Some(first) = self.calls.first().filter(|_| last != next) else { return Ok(()) };
        let control = first.control(&mut self.link)?;
        let is_needed = |it: &Breakpoint| !others.contains_key(&it.at);
        if let Some(last) = last.filter(is_needed) {
            control.clear_breakpoint(last.at, last.kind)?;
        }
        if let Some(next) = next.filter(is_needed)
            && let Err(error) = control.set_breakpoint(next.at, next.kind)
        {
            self.calls.awaited = Awaited::Nowhere;
            return Err(error.into());
        }
        Ok(())
    }

    /// Sets breakpoints anew that a reset may have taken away: once for each reset.
    pub(super) fn rearm_if_due(&mut self) -> Result<(), CollectError> {
        if !std::mem::take(&mut self.calls.is_rearm_due) {
            return Ok(());
        }
        let unset = match self.calls.rearm(&mut self.link) {
            Err(CollectError::Link(error)) if !error.is_fatal() => {
                self.calls.first().map(|first| (first.entry(), error)).into_iter().collect()
            }
            unset => unset?,
        };
        for (at, error) in unset {
            let fault = format!("none may be met since the reset ({error})");
            self.notices.push(Notice::Call { symbol: self.calls.symbol_at(at), fault });
        }
        Ok(())
    }

    /// Lets a target run on that stands at a call.
    pub(super) fn leave_call(&mut self) -> Result<(), CollectError> {
        self.rearm_if_due()?;
        let Some(stopped) = self.calls.stopped.take() else { return Ok(()) };
        let Some(first) = self.calls.first() else { return Ok(()) };
        first.control(&mut self.link)?.resume()?;
        self.calls.has_started &= !self.calls.is_past_start;
        self.calls.is_past_start = false;
        self.calls.looked = Some(Instant::now());
        self.link.add_pause(stopped.elapsed());
        Ok(())
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
