//! What a session does for whoever asks: each request whole, between two snapshots.

use super::label_on::Called;
use super::request::{Answer, Ask, Pending, Progress, Request};
use super::session::{Reading, Stop};
use super::{CollectError, Notice, Snapshot, Told};

/// What a target that is being reset is answered with.
const RESTARTING: &str = "take a snapshot: the target was reset, and its new run has not begun to count";

/// What a session is asked to be started with.
const NO_LABELS: &str = "begin a test: the session keeps no tests (--test-dir)";

impl Request {
    /// Says that it cannot be done.
    pub(super) fn refuse(&self, reason: &impl ToString) {
        self.answer(Answer::Refused(reason.to_string()));
    }

    fn answer(&self, answer: Answer) {
        // Nobody may be there any more to hear it.
        let _ = self.reply.try_send(answer);
    }

    /// An answer that comes once everything before it is written.
    fn pending(&self, answer: Answer) -> Pending {
        Pending { reply: self.reply.clone(), answer }
    }
}

impl Reading<'_> {
    /// Carries out a request; whether the session is to end for it.
    pub(super) fn serve(&mut self, request: &Request) -> Result<Option<Stop>, CollectError> {
        match &request.ask {
            Ask::Status => request.answer(Answer::Status(self.progress())),
            Ask::Snapshot { then_reset } => {
                let answer = |number| Answer::Snapshot { number, files: Vec::new() };
                self.snapshot(request, *then_reset, answer)?;
            }
            // What was counted before is written a last time: files that are merged into must not miss it.
            Ask::Reset => self.snapshot(request, true, |_| Answer::Done)?,
            Ask::Begin { .. } if !self.session.has_labels => request.refuse(&NO_LABELS),
            Ask::Begin { test } => match self.labels.may_begin(test) {
                Ok(true) => self.begin(request, test)?,
                Ok(false) => request.answer(Answer::Done),
                Err(error) => request.refuse(&error),
            },
            Ask::End { test } => match self.labels.may_end(test.as_deref()) {
                Ok(()) => self.end(request)?,
                Err(error) => request.refuse(&error),
            },
            Ask::Stop => {
                self.stopping.push(request.pending(Answer::Done));
                return Ok(Some(Stop::AfterLastSnapshot));
            }
        }
        Ok(None)
    }

    fn progress(&self) -> Progress {
        let reader = &self.session.reader;
        Progress {
            target: reader.target(),
            elapsed: self.start.elapsed(),
            snapshots: reader.taken(),
            resets: reader.resets(),
            era: reader.era(),
            is_restarting: reader.is_restarting(),
            pause: reader.pause(),
            test: self.labels.running().map(str::to_owned),
            tests_ended: self.labels.num_ended(),
        }
    }

    /// Takes a snapshot that is written, and lets counting begin anew with it if that is wanted.
    fn snapshot(
        &mut self,
        request: &Request,
        then_reset: bool,
        answer: impl FnOnce(u64) -> Answer,
    ) -> Result<(), CollectError> {
        self.with_snapshot(request, |reading, snapshot| {
            if then_reset {
                reading.session.reader.reset()?;
            }
            let number = snapshot.number;
            reading.queue.push(Told::Snapshot(snapshot));
            Ok(answer(number))
        })
    }

    /// Takes a snapshot for a request, and answers with what `then` makes of it.
    fn with_snapshot(
        &mut self,
        request: &Request,
        then: impl FnOnce(&mut Self, Box<Snapshot>) -> Result<Answer, CollectError>,
    ) -> Result<(), CollectError> {
        let done = match self.take() {
            Ok(Some(snapshot)) => then(self, snapshot),
            Ok(None) => {
                request.refuse(&RESTARTING);
                return Ok(());
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(answer) => self.queue.push(Told::Answer(request.pending(answer))),
            Err(error) => {
                request.refuse(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn begin(&mut self, request: &Request, test: &str) -> Result<(), CollectError> {
        let test = test.to_owned();
        self.with_snapshot(request, |reading, snapshot| {
            reading.change_test(snapshot, Some(test))?;
            Ok(Answer::Done)
        })
    }

    fn end(&mut self, request: &Request) -> Result<(), CollectError> {
        self.with_snapshot(request, |reading, snapshot| {
            reading.change_test(snapshot, None)?;
            Ok(Answer::Done)
        })
    }

    /// With the snapshot that was taken last, ends the test that runs, if one does, and begins the next, if there is one.
    fn change_test(&mut self, snapshot: Box<Snapshot>, next: Option<String>) -> Result<(), CollectError> {
        let all = self.session.reader.counted()?;
        let ended = self.labels.end(self.session.reader.regions(), &all);
        if let Some(next) = next {
            self.labels.begin(next, all);
        }
        self.queue.push(Told::Snapshot(snapshot));
        ended.into_iter().for_each(|test| self.queue.push(Told::Test(Box::new(test))));
        Ok(())
    }

    /// Does what there is to do at the call that the target stands at, if it stands at one, and lets it run on.
    pub(super) fn hear_calls(&mut self) -> Result<(), CollectError> {
        let Some(met) = self.session.reader.stands_at_call()? else { return Ok(()) };
        if met.is_awaited {
            self.session.reader.note_awaited()?;
        }
        let next = if met.names_test { Some(self.hear_name()?) } else { None };
        if met.names_test || met.resets {
            match (self.take()?, next) {
                (Some(snapshot), Some(next)) => self.change_test(snapshot, next)?,
                (Some(snapshot), None) => self.queue.push(Told::Snapshot(snapshot)),
                (None, _) if self.session.reader.has_ended() => return Ok(()),
                (None, _) => self.tell_of_call(!met.names_test, Some(RESTARTING.to_owned())),
            }
        }
        if met.resets {
            let unmet = self.session.reader.await_start()?;
            self.tell_of_call(true, unmet);
        }
        self.session.reader.leave_call()
    }

    /// The name of the test that begins with the call that the target stands at; of none, if there is none or it may not.
    fn hear_name(&mut self) -> Result<Option<String>, CollectError> {
        let Called { name, fault } = self.session.reader.called()?;
        self.tell_of_call(false, fault);
        let may_begin = name.as_deref().map_or(Ok(()), |name| self.labels.may_follow(name));
        self.tell_of_call(false, may_begin.as_ref().err().map(ToString::to_string));
        Ok(name.filter(|_| may_begin.is_ok()))
    }

    fn tell_of_call(&mut self, is_before_reset: bool, fault: Option<String>) {
        if let Some(fault) = fault.and_then(|fault| self.call_faults.see(fault)) {
            let symbol = self.session.reader.calls.symbol(is_before_reset).to_owned();
            self.queue.push(Told::Notice(Notice::Call { symbol, fault }));
        }
    }

    /// The session ends: tells what it kept for its end, of the test that runs too.
    pub(super) fn tell_rest(&mut self) -> Result<(), CollectError> {
        let all = self.session.reader.counted()?;
        if let Some(test) = self.labels.cut(self.session.reader.regions(), &all) {
            self.queue.push(Told::Test(Box::new(test)));
        }
        if let faults @ 1.. = self.call_faults.untold() {
            self.queue.push(Told::Notice(Notice::CallsUntold { faults }));
        }
        Ok(())
    }
}
