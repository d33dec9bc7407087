//! The controller's state machine.

use board::Tally;

use crate::Command;

pub(crate) static APPLY: Tally = Tally::new("apply");
pub(crate) static TRIP: Tally = Tally::new("trip");

/// What unlocks the factory's settings; the script does not know it.
const FACTORY_KEY: u32 = 0x00C0_FFEE;

/// An armed controller takes no register above this.
const ARMED_LIMIT: u16 = 900;

/// The pressure (register 0) that the valve opens against only while relieved (register 1).
const PRESSURE_LIMIT: u16 = 500;

/// What the controller is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Waiting; registers may be written.
    Idle,
    /// Ready to open.
    Armed,
    /// The valve is open.
    Running,
    /// Something was wrong; only a reset helps.
    Fault,
    /// Locked with a PIN.
    Locked,
}

/// The state in which a command was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused(pub State);

/// The controller.
#[derive(Debug)]
pub struct Valve {
    state: State,
    registers: [u16; 8],
    pin: u16,
    tries: u8,
}

impl Valve {
    /// A controller as it comes from the factory.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Idle, registers: [0; 8], pin: 0, tries: 0 }
    }

    /// Does what a command says, and gives the answer's value.
    pub(crate) fn apply(&mut self, command: Command) -> Result<u16, Refused> {
        APPLY.count();
        match (self.state, command) {
            (_, Command::Ping) => Ok(0),
            (_, Command::Get(register)) => Ok(self.registers[usize::from(register & 7)]),
            (State::Idle | State::Armed, Command::Set(register, value)) => Ok(self.set(register, value)),
            (State::Idle, Command::Arm) => Ok(self.enter(State::Armed)),
            (State::Armed, Command::Open) => Ok(self.open()),
            (State::Armed | State::Running, Command::Close) => Ok(self.enter(State::Idle)),
            (State::Idle, Command::Lock(pin)) => Ok(self.lock(pin)),
            (State::Locked, Command::Unlock(pin)) => self.unlock(pin),
            (State::Fault, Command::Reset) => Ok(self.reset()),
            (State::Fault, Command::Factory(FACTORY_KEY)) => Ok(self.factory_reset()),
            (state, _) => Err(Refused(state)),
        }
    }

    fn enter(&mut self, state: State) -> u16 {
        self.state = state;
        state as u16
    }

    fn set(&mut self, register: u8, value: u16) -> u16 {
        self.registers[usize::from(register & 7)] = value;
        if self.state == State::Armed && value > ARMED_LIMIT {
            self.trip();
        }
        value
    }

    fn open(&mut self) -> u16 {
        if self.registers[0] > PRESSURE_LIMIT && self.registers[1] == 0 {
            return self.trip();
        }
        self.enter(State::Running)
    }

    fn trip(&mut self) -> u16 {
        TRIP.count();
        self.enter(State::Fault)
    }

    fn lock(&mut self, pin: u16) -> u16 {
        self.pin = pin;
        self.tries = 0;
        self.enter(State::Locked)
    }

    fn unlock(&mut self, pin: u16) -> Result<u16, Refused> {
        if pin == self.pin {
            return Ok(self.enter(State::Idle));
        }
        self.tries += 1;
        if self.tries >= 3 {
            self.trip();
        }
        Err(Refused(self.state))
    }

    fn reset(&mut self) -> u16 {
        *self = Self { pin: self.pin, ..Self::new() };
        self.enter(State::Idle)
    }

    fn factory_reset(&mut self) -> u16 {
        *self = Self::new();
        self.enter(State::Idle)
    }
}

impl Default for Valve {
    fn default() -> Self {
        Self::new()
    }
}
