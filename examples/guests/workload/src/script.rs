//! Who tells the controller what to do: a script that becomes more adventurous with each phase.

use board::Tally;

use crate::{Command, Malformed, Refused, Valve, command};

pub(crate) static SEND: Tally = Tally::new("send");

/// How many phases the script has.
pub const PHASES: usize = SCRIPT.len();

/// One row of lines per phase. A phase sends from its own row and from every earlier one.
const SCRIPT: [&[&[u8]]; 5] = [
    &[b"PING", b"GET 0", b"GET 3"],
    &[b"SET 0 100", b"SET 1 7", b"SET 2 999", b"PING*10", b"PING*1a"],
    &[b"", b"SET 9 1", b"SET 1 x", b"GET", b"FROB", b"PING*11", b"PING*1"],
    &[b"ARM", b"OPEN", b"CLOSE", b"SET 0 600", b"SET 1 0", b"RESET"],
    &[b"LOCK 1234", b"UNLOCK 1", b"UNLOCK 1234", b"FACTORY 1", b"PING*zz"],
];

/// What became of the lines that were sent.
#[derive(Clone, Copy, Default, Debug)]
pub struct Answers {
    /// Lines that were done.
    pub done: u32,
    /// Commands that the controller's state did not allow.
    pub refused: u32,
    /// Lines that were no command.
    pub malformed: u32,
}

/// The controller, and the script's place.
#[derive(Debug)]
pub struct Driver {
    valve: Valve,
    answers: Answers,
    random: u32,
}

impl Driver {
    /// A new controller at the script's start.
    #[must_use]
    pub const fn new() -> Self {
        let answers = Answers { done: 0, refused: 0, malformed: 0 };
        Self { valve: Valve::new(), answers, random: 0x2545_F491 }
    }

    /// Sends one line of those that `phase` may use.
    pub fn step(&mut self, phase: usize) {
        let row = self.pick(&SCRIPT[..=phase]);
        let line = self.pick(row);
        self.send(line);
    }

    /// What became of the lines so far.
    #[must_use]
    pub fn answers(&self) -> Answers {
        self.answers
    }

    fn send(&mut self, line: &[u8]) {
        SEND.count();
        match command::parse(line) {
            Ok(command) => self.execute(command),
            Err(malformed) => self.complain(malformed),
        }
    }

    fn execute(&mut self, command: Command) {
        match self.valve.apply(command) {
            Ok(_) => self.answers.done += 1,
            Err(Refused(_)) => self.answers.refused += 1,
        }
    }

    fn complain(&mut self, malformed: Malformed) {
        // An empty line is not worth a complaint.
        if malformed != Malformed::Empty {
            self.answers.malformed += 1;
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next_random() as usize % from.len()]
    }

    /// Marsaglia's xorshift: the same numbers in every run.
    fn next_random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}
